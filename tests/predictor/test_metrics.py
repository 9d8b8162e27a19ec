from __future__ import annotations

import numpy as np
import pytest

from predictor.metrics import accuracy_of


def test_values_by_hand():
    measured = np.array([100.0, 200, 300, 400, 500])
    predicted = np.array([100.5, 203, 288, 432, 425])  # +0.5, +1.5, -4, +8 and -15 %
    assert accuracy_of(measured, predicted) == pytest.approx(
        {
            "mape": (0.5 + 1.5 + 4 + 8 + 15) / 500,
            "bias": (0.5 + 1.5 - 4 + 8 - 15) / 500,
            "p95_ape": 0.08 + 0.8 * 0.07,  # between the two largest of five
            "within_1": 0.2,
            "within_2": 0.4,
            "within_5": 0.6,
            "within_10": 0.8,
            "kendall_tau": 0.8,  # the last two are in the wrong order: 9 - 1 of 10 pairs
            "spearman": 0.9,
        }
    )


def test_a_perfect_and_a_reversed_prediction():
    measured = np.array([1.0, 2, 3, 4])
    perfect = accuracy_of(measured, measured)
    assert (perfect["mape"], perfect["bias"], perfect["p95_ape"]) == (0, 0, 0)
    assert (perfect["within_1"], perfect["kendall_tau"], perfect["spearman"]) == pytest.approx((1, 1, 1))
    reversed_ = accuracy_of(measured, measured[::-1].copy())
    assert (reversed_["kendall_tau"], reversed_["spearman"]) == pytest.approx((-1, -1))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n", [1, 5])
def test_rank_correlations_that_do_not_exist_count_as_zero(n):
    found = accuracy_of(np.arange(1.0, n + 1), np.full(n, 2.0))
    assert (found["kendall_tau"], found["spearman"]) == (0, 0)
    assert all(np.isfinite(value) for value in found.values())


def test_metrics_do_not_depend_on_order_or_unit(rng):
    measured = rng.uniform(10, 100, 40)
    predicted = measured * rng.uniform(0.8, 1.2, 40)
    expected = accuracy_of(measured, predicted)
    order = rng.permutation(40)
    assert accuracy_of(1000 * measured[order], 1000 * predicted[order]) == pytest.approx(expected)
