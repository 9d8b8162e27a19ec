"""Never two processes at once in one folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from supernet.errors import OvnasError

__all__ = ["alone_in"]


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Holds a folder that two processes must not write at once; made if it is not there.

    Raises OvnasError if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OvnasError(
                f"another process works in {folder}; wait until it ends, or take another --runs-dir"
            ) from None
        yield
    finally:
        os.close(descriptor)
