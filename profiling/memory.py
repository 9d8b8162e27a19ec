"""Where a network lies in memory."""

from __future__ import annotations

import ctypes
import gc

__all__ = ["release_freed_memory"]


def release_freed_memory() -> None:
    """Gives freed memory back to the system, so that what is compiled next lies on fresh pages.

    On pages that other networks have left scattered the same network is slower, and differently so in each
    process. Without effect where the C library has no such call.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
