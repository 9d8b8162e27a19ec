from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from profiling import lock
from profiling.lock import measuring
from supernet import OvnasError

HOLD = "import sys, pathlib\nfrom profiling.lock import measuring\n"
HOLD += "with measuring(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()"


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "ovnas.lock"


@pytest.fixture
def holder(file):
    """Another process that holds the lock until it is killed."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout.readline() == "held\n"
        yield it
        it.kill()


def test_a_second_process_is_told_who_measures(file, holder):
    with pytest.raises(OvnasError, match=rf"process {holder.pid}: -c {file}"), measuring(file):
        pass


def test_the_lock_is_free_after_kill_9(file, holder):
    holder.kill()
    holder.wait()
    with measuring(file):
        assert file.read_text()
    assert file.read_text() == ""


def test_the_lock_is_free_after_an_error(file):
    with pytest.raises(ZeroDivisionError), measuring(file):
        _ = 1 / 0
    with measuring(file), pytest.raises(OvnasError, match="is measuring"), measuring(file):
        pass


@pytest.mark.parametrize("text", ["", "nonsense", "{}", "[1]", '{"pid": "x", "command": "y"}'])
def test_an_unreadable_holder_is_unknown(file, holder, text):
    file.write_text(text)
    with pytest.raises(OvnasError, match=r"\(unknown\)"), measuring(file):
        pass


def test_one_lock_for_the_machine():
    import tempfile

    assert lock.LOCK_FILE.parent == Path(tempfile.gettempdir())
