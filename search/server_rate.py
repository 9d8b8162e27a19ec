"""The highest rate that a server keeps up with: bracketed, then bisected."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import numpy as np

from supernet.errors import OvnasError

__all__ = ["find_rate", "queue_meets", "queue_rate"]

UP, DOWN = 1.2, 1.4
MOST_TRIES = 16


def find_rate(
    meets: Callable[[float], bool], guess: float, *, tolerance: float = 0.02, most: int = MOST_TRIES
) -> float:
    """The highest rate found for which `meets` is true, at most `tolerance` below one for which it is not.

    Starts at `guess`, a rate > 0. After `most` tries the best so far counts. Raises OvnasError if none of
    them met the bound.
    """
    if not (math.isfinite(guess) and guess > 0):
        raise OvnasError(f"a search for a rate must start above 0, but got {guess}")
    low, high, rate = 0.0, math.inf, guess
    tried = 0
    while tried < most and high > low * (1 + tolerance):
        tried += 1
        if meets(rate):
            low = rate
        else:
            high = rate
        if low == 0:
            rate = high / DOWN
        elif math.isinf(high):
            rate = low * UP
        else:
            rate = math.sqrt(low * high)
    if low == 0:
        raise OvnasError(f"no rate down to {high:.3g} a second met the bound; allow a longer latency")
    return low


def queue_meets(
    rate: float, service_s: float, servers: int, bound_s: float, *, seed: int = 0, n: int = 20_000
) -> bool:
    """Whether a first-come-first-served queue with Poisson arrivals answers 99 % of `n` within the bound.

    Never beyond its capacity, where that only takes longer than `n` to show.
    """
    if rate * service_s >= servers:
        return False
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, n))
    free = [0.0] * servers
    latency = np.empty(n)
    for i, arrival in enumerate(arrivals.tolist()):
        end = max(arrival, heapq.heappop(free)) + service_s
        heapq.heappush(free, end)
        latency[i] = end - arrival
    return float(np.sort(latency)[int(0.99 * n)]) <= bound_s


def queue_rate(service_s: float, servers: int, bound_s: float) -> float:
    """What such a queue keeps up with: where to begin a search on the real one. 0 if one inference alone
    takes longer than the bound."""
    if service_s >= bound_s:
        return 0.0
    capacity = servers / service_s
    try:
        return find_rate(lambda rate: queue_meets(rate, service_s, servers, bound_s), 0.7 * capacity)
    except OvnasError:
        return 0.0
