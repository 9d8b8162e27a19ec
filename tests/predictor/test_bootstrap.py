from __future__ import annotations

import numpy as np
import pytest

from predictor.bootstrap import differences, interval, intervals, resamples
from predictor.metrics import HEADLINE, accuracy_of, resampled_accuracy


def test_resampled_figures_are_those_of_the_resampled_networks(rng):
    measured = rng.integers(10, 30, 25).astype(float)  # with ties
    predicted = np.round(measured * rng.normal(1, 0.06, 25), 0)
    indices = resamples(25, n_resamples=40)
    found = resampled_accuracy(measured, predicted, indices)
    assert tuple(found) == HEADLINE
    for i, own in enumerate(indices):
        expected = accuracy_of(measured[own], predicted[own])
        for name in HEADLINE:
            assert found[name][i] == pytest.approx(expected[name], abs=1e-12)


def test_predictions_that_are_all_equal_have_no_order():
    measured = np.arange(1.0, 9.0)
    found = resampled_accuracy(measured, np.full(8, 3.0), resamples(8, n_resamples=10))
    np.testing.assert_array_equal(found["kendall_tau"], 0)


def test_the_interval_of_a_mean_is_that_of_theory(rng):
    """1.96 standard errors on both sides."""
    values = rng.exponential(size=400)
    found = interval(values[resamples(400)].mean(axis=1))
    error = values.std() / 20
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_the_seed_decides_the_resamples():
    np.testing.assert_array_equal(resamples(9, seed=4), resamples(9, seed=4))
    assert (resamples(9, seed=4) != resamples(9, seed=5)).any()
    assert resamples(9, n_resamples=7).shape == (7, 9)


def compare(error_a, error_b) -> dict:
    measured = np.linspace(100, 200, len(error_a))
    indices = resamples(len(measured), n_resamples=500)
    a, b = measured * (1 + error_a), measured * (1 + error_b)
    return differences(
        resampled_accuracy(measured, a, indices),
        resampled_accuracy(measured, b, indices),
        accuracy_of(measured, a),
        accuracy_of(measured, b),
    )


def test_better_is_said_only_where_the_interval_excludes_zero(rng):
    small, large = rng.normal(0, 0.004, 60), rng.normal(0, 0.05, 60)
    found = compare(small, large)
    assert (found["mape"].verdict, found["kendall_tau"].verdict) == ("better", "better")
    assert found["mape"].high < 0 < found["kendall_tau"].low
    assert found["mape"].value == pytest.approx(np.abs(small).mean() - np.abs(large).mean())
    assert compare(large, small)["mape"].verdict == "worse"
    same = compare(small, small[::-1])
    assert (same["mape"].verdict, same["kendall_tau"].verdict) == ("not told apart", "not told apart")


def test_differences_are_paired(rng):
    """A constant gain on wildly differing errors is seen, which two separate intervals would not show."""
    errors = np.abs(rng.normal(0, 0.1, 60))
    indices = resamples(60, n_resamples=500)
    measured = np.full(60, 100.0)
    figures = [resampled_accuracy(measured, measured * (1 + e), indices) for e in (errors, errors + 0.002)]
    separate = [intervals(f)["mape"] for f in figures]
    assert separate[0].high > separate[1].low
    values = [accuracy_of(measured, measured * (1 + e)) for e in (errors, errors + 0.002)]
    assert differences(*figures, *values)["mape"].verdict == "better"
