"""Never two measurements at once on one machine."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from supernet.errors import OvnasError

__all__ = ["LOCK_FILE", "measuring"]

LOCK_FILE = Path(tempfile.gettempdir()) / "ovnas-measuring.lock"


@contextmanager
def measuring(file: Path | None = None) -> Iterator[None]:
    """Holds the machine-wide lock; it is free again when the process ends, however it ends.

    Its file is LOCK_FILE where `file` is not given.

    Raises OvnasError if another process holds it, and says which.
    """
    descriptor, is_ours = _open(file or LOCK_FILE)
    with os.fdopen(descriptor, "r+" if is_ours else "r", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OvnasError(
                f"another process is measuring on this machine ({_holder(handle.read())}); wait until it ends"
            ) from None
        if is_ours:
            handle.seek(0)
            handle.truncate()
            json.dump({"pid": os.getpid(), "command": " ".join(sys.argv)[:200]}, handle)
            handle.flush()
        try:
            yield
        finally:
            if is_ours:
                handle.seek(0)
                handle.truncate()


def _open(file: Path) -> tuple[int, bool]:
    """The lock file's descriptor, and whether it may be written: another user's may only be locked. A
    symbolic link is never followed, for the folder is open to all."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(file, flags | os.O_RDWR | os.O_CREAT, 0o666), True
    except PermissionError:
        return os.open(file, flags | os.O_RDONLY), False


def _holder(text: str) -> str:
    try:
        value = json.loads(text)
        return f"process {int(value['pid'])}: {value['command']}"
    except (ValueError, KeyError, TypeError):
        return "unknown"
