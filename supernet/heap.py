"""Keeps freed memory in the process, so that each training step finds its pages where the last one left them.

glibc gives large blocks back to the system when they are freed and asks for them anew, and the system fills
each page with zeros: a training step on a CPU, which allocates the same tensors each time, loses much of its
time to that (mallopt(3), M_MMAP_MAX and M_TRIM_THRESHOLD).
"""

from __future__ import annotations

import ctypes
import platform

__all__ = ["keep_freed_memory"]

# malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
NEVER = 2**31 - 1
TOP_PAD_BYTES = 64 * 2**20


def keep_freed_memory() -> bool:
    """From now on this process gives no freed memory back. Whether it can be told so: glibc can, and another
    allocator that is preloaded (tcmalloc, jemalloc) has ways of its own."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    options = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, NEVER), (M_TOP_PAD, TOP_PAD_BYTES))
    return all(mallopt(option, value) == 1 for option, value in options)
