from __future__ import annotations

import ctypes

import numpy as np
import psutil
import pytest

from profiling import memory
from profiling.memory import (
    RESERVE_BYTES,
    available_bytes,
    growth_bytes,
    release_freed_memory,
    require_room,
    room_for,
)
from supernet import OvnasError


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


def test_what_something_takes_is_measured():
    made, n_bytes = growth_bytes(lambda: np.ones(10_000_000))
    assert made.sum() == 1e7
    assert 70e6 < n_bytes < 200e6


@pytest.mark.parametrize(("gib", "expected"), [(30, 16), (12, 8), (8, 4)])
def test_fewer_are_resident_where_memory_is_short(gib, expected):
    """One GiB each, three of others, one left for the system."""
    assert room_for(16, 3, 2**30, gib * 2**30) == expected
    assert room_for(16, 3, 0, RESERVE_BYTES + 100) == 16


@pytest.mark.parametrize("gib", [7.9, 0])
def test_where_too_few_have_room_the_remedy_is_named(gib):
    match = rf"which takes 8\.0 GiB for this target, but {gib:.1f} GiB are available; lower \[target\] batch"
    with pytest.raises(OvnasError, match=match):
        room_for(16, 3, 2**30, int(gib * 2**30))


def test_what_has_no_room_is_refused():
    require_room(7, 2**30, 8 * 2**30, "free some")
    with pytest.raises(OvnasError, match=r"^8 networks together take 9\.0 GiB .* 8\.0 GiB .*; free some$"):
        require_room(8, 2**30, 8 * 2**30, "free some")


def test_the_strictest_limit_of_memory_counts(monkeypatch):
    free = psutil.virtual_memory().available
    monkeypatch.setattr(memory.cpu, "memory_left", lambda: None)
    assert available_bytes() > free / 2
    monkeypatch.setattr(memory.cpu, "memory_left", lambda: 1000)
    assert available_bytes() == 1000
