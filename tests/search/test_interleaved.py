from __future__ import annotations

import numpy as np
import pytest

from search.interleaved import Ratio, in_turn, ratio_of


def test_every_name_runs_once_a_round_in_changing_order(rng):
    calls = []

    def run(name, i):
        calls.append((i, name))
        return float(i)

    found = in_turn(["a", "b", "c"], 6, rng, run)
    assert found == {name: [0.0, 1.0, 2.0, 3.0, 4.0, 5.0] for name in "abc"}
    orders = ["".join(name for i, name in calls if i == r) for r in range(6)]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert len(set(orders)) > 1


def test_drift_cancels():
    drift = np.array([1.0, 0.7, 1.3, 0.9, 0.8, 1.1])
    found = ratio_of(250 * drift, 100 * drift)
    assert found.value == pytest.approx(2.5)
    assert (found.low, found.high) == (pytest.approx(2.5), pytest.approx(2.5))


def test_rounds_in_which_the_speed_changed_do_not_count(rng):
    base = np.full(9, 100.0)
    own = 250 * np.array([1, 1.001, 0.999, 1.002, 0.998, 1.0, 1.6, 0.5, 1.001])
    found = ratio_of(own, base)
    assert found.value == pytest.approx(2.5, rel=0.002)
    assert 2.49 < found.low < 2.5 < found.high < 2.51


@pytest.mark.parametrize("n", [6, 7, 9, 15])
def test_the_interval_holds_the_truth_at_least_as_often_as_it_says(rng, n):
    held = 0
    for _ in range(400):
        found = ratio_of(2 * np.exp(0.03 * rng.standard_normal(n)), np.exp(0.03 * rng.standard_normal(n)))
        held += found.low <= 2 <= found.high
    assert held / 400 >= 0.93


@pytest.mark.parametrize("n", [1, 3, 5])
def test_few_rounds_have_no_interval(n):
    assert ratio_of([3.0] * n, [2.0] * n) == Ratio(1.5, None, None)
