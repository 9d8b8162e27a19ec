from __future__ import annotations

import json

import pytest

from supernet import replacing
from supernet.whole_files import write_json


def full_disk(*_, **__):
    raise OSError(28, "No space left on device")


def test_json_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "value.json"
    write_json({"a": 1}, path)
    with pytest.raises(TypeError):
        write_json({"a": object()}, path)
    monkeypatch.setattr(replacing.os, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_json({"a": 2}, path)
    assert json.loads(path.read_text()) == {"a": 1}
