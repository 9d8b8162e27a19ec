from __future__ import annotations

import ctypes

import numpy as np
import psutil
import pytest

from profiling.memory import release_freed_memory


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library cannot give memory back"
)
def test_freed_memory_goes_back_and_what_is_in_use_stays():
    kept = np.ones(1000)
    blocks = [np.ones(8_000) for _ in range(2_000)]  # 64 kB each: on the heap, not mapped
    used = psutil.Process().memory_info().rss
    del blocks
    release_freed_memory()
    assert psutil.Process().memory_info().rss < used - 50e6
    assert kept.sum() == 1000
