from __future__ import annotations

import numpy as np
import pytest

from search.objectives import parse_objectives
from search.selection import pick_between, pick_finalists


@pytest.fixture(params=range(5))
def front(request, candidates_of):
    rng = np.random.default_rng(request.param)
    latency = np.sort(rng.lognormal(3, 1, 40))
    return candidates_of(list(zip(latency, np.sort(rng.uniform(0, 1, 40)), strict=True)))


@pytest.mark.parametrize("n", [1, 2, 3, 6, 39, 40, 100])
def test_bounds_order_and_ends(front, n):
    chosen = pick_finalists(front, n)
    assert len(chosen) == min(n, len(front))
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= set(front)
    assert chosen == sorted(chosen, key=lambda c: c.latency_us)
    assert chosen[0] == front[0]
    if n > 1:
        assert chosen[-1] == front[-1]


def test_of_nothing_nothing():
    assert pick_finalists([], 3) == []


def test_spread_over_the_logarithm_of_latency(candidates_of):
    front = candidates_of([(10 ** (i / 10), i) for i in range(41)])  # 1 to 10,000 us
    chosen = pick_finalists(front, 5)
    np.testing.assert_allclose([c.latency_us for c in chosen], [1, 10, 100, 1000, 10_000])


def test_spread_over_what_was_searched_for(candidates_of):
    """`candidates_of` makes MACs ascend from 1,000."""
    front = candidates_of([(100, i) for i in range(41)])
    chosen = pick_finalists(front, 3, parse_objectives(["accuracy", "macs"]))
    assert [c.macs for c in chosen] == [1000, 1020, 1040]


def test_the_order_of_the_front_does_not_matter(front):
    assert pick_finalists(front[::-1], 4) == pick_finalists(front, 4)


def test_rivals_fill_the_widest_gaps_first(candidates_of):
    """A front of 1, 2 and 1,000 us; the last gap ends with the slowest rival, at 4,000 us."""
    chosen = candidates_of([(1, 0.7), (2, 0.8), (1000, 0.9)])
    rivals = candidates_of(
        [(1.4, 0.7), (9, 0.8), (30, 0.79), (60, 0.805), (700, 0.88), (3000, 0.9), (4000, 0.9)]
    )
    picked = [[c.latency_us for c in pick_between(chosen, rivals, n)] for n in range(1, 8)]
    assert picked[0] == [60]  # the most accurate in the middle half of 2 to 1,000
    assert picked[1] == [9, 60]  # the nearest to the middle of 2 to 60 would be 9, too
    assert picked[2] == [9, 60, 700]  # alone between 60 and 1,000, though beside their middle
    assert picked[-1] == [c.latency_us for c in rivals]
    for n, found in enumerate(picked, start=1):
        assert len(found) == n == len({*found})


def test_rivals_alone_are_spread(candidates_of):
    rivals = candidates_of([(10 ** (i / 10), 0.9) for i in range(41)])
    found = [c.latency_us for c in pick_between([], rivals, 3)]
    np.testing.assert_allclose(found, [10, 100, 1000], rtol=0.3)
    assert pick_between(rivals, [], 3) == [] == pick_between([], rivals, 0)
    at_one_place = candidates_of([(5, 0.9), (5, 0.8)])
    assert len(pick_between(at_one_place, at_one_place, 2)) == 2
