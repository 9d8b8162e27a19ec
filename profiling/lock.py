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
    descriptor = os.open(file or LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OvnasError(
                f"another process is measuring on this machine ({_holder(handle.read())}); wait until it ends"
            ) from None
        handle.seek(0)
        handle.truncate()
        json.dump({"pid": os.getpid(), "command": " ".join(sys.argv)[:200]}, handle)
        handle.flush()
        try:
            yield
        finally:
            handle.seek(0)
            handle.truncate()


def _holder(text: str) -> str:
    try:
        value = json.loads(text)
        return f"process {int(value['pid'])}: {value['command']}"
    except (ValueError, KeyError, TypeError):
        return "unknown"
