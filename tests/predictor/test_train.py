"""What predictor.train refuses."""

from __future__ import annotations

import json
import sqlite3

import pytest

from predictor import train


@pytest.mark.parametrize(("fact", "value"), [("cpu_model", "Another CPU"), ("openvino", "2020.1")])
def test_measurements_of_another_machine(known, tmp_path, capsys, fact, value):
    path = known.write(tmp_path / "digits" / "profiling" / "measurements.sqlite", 20, 0)
    with sqlite3.connect(path) as db:
        (text,) = db.execute("SELECT value FROM meta WHERE key = 'machine'").fetchone()
        facts = json.dumps({**json.loads(text), fact: value})
        db.execute("UPDATE meta SET value = ? WHERE key = 'machine'", (facts,))
    db.close()
    assert train.main(["--runs-dir", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"{fact}: '{value}' there" in err
    assert not (tmp_path / "digits" / "predictor").exists()
