from __future__ import annotations

import numpy as np
import pytest

from search.problem import front_of
from search.selection import pick_finalists

ANY = -float("inf")


@pytest.fixture(params=range(5))
def front(request, candidates_of):
    rng = np.random.default_rng(request.param)
    latency = np.sort(rng.lognormal(3, 1, 40))
    return front_of(candidates_of(list(zip(latency, np.sort(rng.uniform(0, 1, 40)), strict=True))))


@pytest.mark.parametrize("n", [1, 2, 3, 6, 39, 40, 100])
def test_bounds_order_and_ends(front, n):
    chosen = pick_finalists(front, n, min_quality=ANY)
    assert len(chosen) == min(n, len(front))
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= set(front)
    assert chosen == sorted(chosen, key=lambda c: c.latency_us)
    assert chosen[0] == front[0]
    if n > 1:
        assert chosen[-1] == front[-1]


@pytest.mark.parametrize("n", [2, 5, 100])
def test_only_what_is_good_enough(front, n):
    least = sorted(c.quality for c in front)[len(front) // 2]
    feasible = [c for c in front if c.quality >= least]
    chosen = pick_finalists(front, n, min_quality=least)
    assert set(chosen) <= set(feasible)
    assert chosen[0] == feasible[0]  # the bound itself is good enough
    assert chosen[0].quality == least
    assert chosen[-1] == feasible[-1]


def test_nothing_good_enough_is_nothing(front):
    assert pick_finalists(front, 3, min_quality=1.1) == []
    assert pick_finalists([], 3, min_quality=ANY) == []


def test_spread_over_the_logarithm_of_latency(candidates_of):
    front = candidates_of([(10 ** (i / 10), i) for i in range(41)])  # 1 to 10,000 us
    chosen = pick_finalists(front, 5, min_quality=ANY)
    np.testing.assert_allclose([c.latency_us for c in chosen], [1, 10, 100, 1000, 10_000])


def test_the_order_of_the_front_does_not_matter(front):
    assert pick_finalists(front[::-1], 4, min_quality=0.2) == pick_finalists(front, 4, min_quality=0.2)
