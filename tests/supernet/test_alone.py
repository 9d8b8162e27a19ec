from __future__ import annotations

import pytest

from supernet import OvnasError
from supernet.alone import alone_in


def test_a_folder_is_held_by_one_process_at_a_time(tmp_path):
    folder = tmp_path / "new" / "search"
    with alone_in(folder):
        with pytest.raises(OvnasError, match="another process works in"), alone_in(folder):
            pass
        with alone_in(tmp_path / "other"):
            pass
    with alone_in(folder):
        pass
