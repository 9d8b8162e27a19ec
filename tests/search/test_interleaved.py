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
    drift = np.array([1.0, 0.7, 1.3, 0.9])
    found = ratio_of(250 * drift, 100 * drift)
    assert found.value == pytest.approx(2.5)
    assert (found.low, found.high) == (pytest.approx(2.5), pytest.approx(2.5))


def test_the_interval_holds_the_truth_as_often_as_it_says(rng):
    held = 0
    for _ in range(400):
        found = ratio_of(2 * np.exp(0.03 * rng.standard_normal(4)), np.exp(0.03 * rng.standard_normal(4)))
        held += found.low <= 2 <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_one_round_has_no_interval():
    assert ratio_of([3.0], [2.0]) == Ratio(pytest.approx(1.5), None, None)
