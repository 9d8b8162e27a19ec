"""Where a network lies in memory, and how many there is room for."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from typing import TypeVar

import psutil

from profiling import cpu
from supernet.errors import OvnasError

__all__ = ["available_bytes", "growth_bytes", "release_freed_memory", "require_room", "room_for"]

T = TypeVar("T")

# Left free beside what is measured: for the system, and for what compiling needs for a moment.
RESERVE_BYTES = 2**30
# Fewer networks together are not worth their anchors' rounds.
MIN_TOGETHER = 4


def release_freed_memory() -> None:
    """Gives freed memory back to the system, so that what is compiled next lies on fresh pages.

    On pages that other networks have left scattered the same network is slower, and differently so in each
    process. Without effect where the C library has no such call.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def available_bytes() -> int:
    """What this process may still take before the machine swaps or its control group ends it."""
    free = int(psutil.virtual_memory().available)
    left = cpu.memory_left()
    return free if left is None else min(free, left)


def growth_bytes(make: Callable[[], T]) -> tuple[T, int]:
    """What `make` makes, and by how much this process has grown by that."""
    release_freed_memory()
    process = psutil.Process()
    before = process.memory_info().rss
    made = make()
    return made, max(0, process.memory_info().rss - before)


def room_for(most: int, others: int, each_bytes: int, available: int) -> int:
    """How many networks of up to `each_bytes` may be resident together beside `others`, at most `most`.

    Raises OvnasError if that is not even MIN_TOGETHER.
    """
    n = (available - RESERVE_BYTES) // max(1, each_bytes) - others
    if n < MIN_TOGETHER:
        needed = (MIN_TOGETHER + others) * each_bytes + RESERVE_BYTES
        raise OvnasError(
            f"{MIN_TOGETHER} networks together must fit into memory, which takes {needed / 2**30:.1f} GiB "
            f"for this target, but {max(0, available) / 2**30:.1f} GiB are available; lower [target] batch "
            "or streams, or free some"
        )
    return int(min(most, n))


def require_room(n: int, each_bytes: int, available: int, remedy: str) -> None:
    """Raises OvnasError, with the remedy, if `n` networks of `each_bytes` do not fit into memory together."""
    needed = n * each_bytes + RESERVE_BYTES
    if needed > available:
        raise OvnasError(
            f"{n} networks together take {needed / 2**30:.1f} GiB of memory, but "
            f"{max(0, available) / 2**30:.1f} GiB are available; {remedy}"
        )
