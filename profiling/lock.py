"""Never two measurements at once on one machine."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from supernet.errors import OvnasError

__all__ = ["LOCK_FILE", "handed_down", "measuring"]

# One for the machine, whatever TMPDIR says, and for all of its users.
LOCK_FILE = Path("/tmp/ovnas-measuring.lock")
_MODE = 0o666


@contextmanager
def measuring(file: Path | None = None) -> Iterator[int]:
    """Holds the machine-wide lock; it is free again when the process ends, however it ends.

    Its file is LOCK_FILE where `file` is not given. Yields the lock's descriptor: a child process that is
    given it holds the lock too, until both have ended; see `handed_down`.

    Raises OvnasError if another process holds it, and says which.
    """
    file = file or LOCK_FILE
    descriptor = _open(file)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(os.pread(descriptor, 4096, 0))
            raise OvnasError(
                f"another process is measuring on this machine ({holder}); wait until it ends"
            ) from None
        _write_holder(descriptor)
        try:
            yield descriptor
        finally:
            _write(descriptor, b"")
    finally:
        os.close(descriptor)


@contextmanager
def handed_down(descriptor: int) -> Iterator[None]:
    """Measures under the lock that the parent process holds and has given `descriptor` of.

    Raises OvnasError if it is no such descriptor.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # again, which does nothing: it is held
    except OSError as error:
        raise OvnasError(f"{descriptor} is no descriptor of the measuring lock: {error.strerror}") from None
    _write_holder(descriptor)
    try:
        yield
    finally:
        os.close(descriptor)


def _open(file: Path) -> int:
    """The lock file's descriptor, to read only where it is another user's that we may not write.

    A symbolic link is never followed, and nothing but a regular file is opened: the folder is open to all.
    An existing file is opened without O_CREAT, which Linux refuses for another user's file in such a folder.
    """
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        try:
            descriptor = os.open(file, flags | os.O_RDWR)
        except FileNotFoundError:
            descriptor = _create(file, flags | os.O_RDWR)
        except PermissionError:
            descriptor = os.open(file, flags | os.O_RDONLY)
    except OSError as error:
        what = "a symbolic link" if error.errno == errno.ELOOP else (error.strerror or str(error))
        raise OvnasError(
            f"cannot open the measuring lock {file}: {what}; remove it, or mend its rights"
        ) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OvnasError(f"the measuring lock {file} is no regular file; remove it")
    return descriptor


def _create(file: Path, flags: int) -> int:
    """A new lock file that every user may write, whatever the umask."""
    try:
        descriptor = os.open(file, flags | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:  # another process was faster
        return os.open(file, flags)
    os.fchmod(descriptor, _MODE)
    return descriptor


def _write_holder(descriptor: int) -> None:
    _write(descriptor, json.dumps({"pid": os.getpid(), "command": " ".join(sys.argv)[:200]}).encode())


def _write(descriptor: int, text: bytes) -> None:
    """Replaces the file's text; does nothing where it may only be read."""
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text, 0)


def _holder(text: bytes) -> str:
    try:
        value = json.loads(text)
        return f"process {int(value['pid'])}: {value['command']}"
    except (ValueError, KeyError, TypeError):
        return "unknown"
