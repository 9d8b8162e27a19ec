from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from profiling import lock
from profiling.lock import handed_down, measuring
from supernet import OvnasError

HOLD = "import sys, pathlib\nfrom profiling.lock import measuring\n"
HOLD += "with measuring(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()"


@pytest.fixture
def file() -> Iterator[Path]:
    """In a folder that every user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "ovnas.lock"


@pytest.fixture
def as_nobody() -> Callable[[], AbstractContextManager[None]]:
    """Without a superuser's rights, who may open everything."""

    @contextmanager
    def drop() -> Iterator[None]:
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            yield
        finally:
            if is_root:
                os.seteuid(0)

    return drop


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


def test_one_lock_for_the_machine_and_all_its_users(monkeypatch, tmp_path, in_other_process):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    said = in_other_process("from profiling.lock import LOCK_FILE; print(LOCK_FILE)")
    assert said == "/tmp/ovnas-measuring.lock\n"
    assert Path("/tmp/ovnas-measuring.lock") == lock.LOCK_FILE


def test_every_user_may_write_the_file_whatever_the_umask(file):
    before = os.umask(0o077)
    try:
        with measuring(file):
            assert stat.S_IMODE(file.stat().st_mode) == 0o666
    finally:
        os.umask(before)


def test_another_users_file_that_may_only_be_read_is_a_lock_too(file, as_nobody):
    file.write_text("kept")
    file.chmod(0o444)
    with as_nobody(), measuring(file), pytest.raises(OvnasError, match="is measuring"), measuring(file):
        pass
    assert file.read_text() == "kept"


def test_what_may_not_even_be_read_is_one_line(file, as_nobody):
    file.touch()
    file.chmod(0)
    with (
        as_nobody(),
        pytest.raises(OvnasError, match="Permission denied; remove it, or mend"),
        measuring(file),
    ):
        pass


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_nothing_but_a_regular_file_is_opened(file, tmp_path, kind):
    target = tmp_path / "target"
    target.write_text("precious")
    {"link": lambda: file.symlink_to(target), "folder": file.mkdir, "pipe": lambda: os.mkfifo(file)}[kind]()
    with pytest.raises(OvnasError, match=r"a symbolic link|Is a directory|no regular file"), measuring(file):
        pass
    assert target.read_text() == "precious"


CHILD = """
import sys
from profiling.lock import handed_down
with handed_down(int(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_child_holds_the_lock_it_was_given_until_it_ends(file):
    root = Path(__file__).parents[2]
    with measuring(file) as descriptor:
        command = [sys.executable, "-c", CHILD, str(descriptor)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        child = subprocess.Popen(command, cwd=root, pass_fds=[descriptor], text=True, **pipes)
        assert child.stdout.readline() == "held\n"
    with pytest.raises(OvnasError, match="is measuring"), measuring(file):
        pass
    child.communicate()
    assert child.returncode == 0
    with measuring(file):
        pass


def test_what_is_no_lock_is_not_measured_under(file):
    with pytest.raises(OvnasError, match="987 is no descriptor of the measuring lock"), handed_down(987):
        pass
