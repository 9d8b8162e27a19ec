from __future__ import annotations

import numpy as np
import pytest

from predictor.boosting import BoostedTrees, Sums, _joint


@pytest.fixture
def sums(rng) -> Sums:
    return Sums(
        rng.permutation(np.repeat([0, 1, 2], 5)), np.log([40.0, 9, 100]), np.array([1.0, 2, 3]), 2.0, 0.1
    )


def loss(margins, y, weight, sums) -> float:
    total = sums.fixed + np.array([np.exp(margins[sums.network == n]).sum() for n in range(3)])
    error = np.log(total) - sums.log_total
    huber = sums.outlier**2 * (np.sqrt(1 + (error / sums.outlier) ** 2) - 1)
    return float(np.sum(sums.weight * huber) + np.sum(weight * (margins - y) ** 2) / 2)


def test_the_gradient_is_that_of_the_loss(rng, sums):
    margins, y, weight = rng.normal(1, 0.5, 15), rng.normal(1, 0.5, 15), rng.uniform(0.1, 1, 15)
    gradient, hessian = _joint(margins, y, weight, sums)
    for i in range(15):
        step = np.zeros(15)
        step[i] = 1e-5
        slope = (loss(margins + step, y, weight, sums) - loss(margins - step, y, weight, sums)) / 2e-5
        assert gradient[i] == pytest.approx(slope, rel=1e-4, abs=1e-8)
    assert (hessian > 0).all()


def test_the_hessian_bounds_gauss_newtons(rng, sums):
    """d^T H d <= sum h_k d_k^2 for any direction, so that a step of a leaf never overshoots."""
    margins, y, weight = rng.normal(1, 0.5, 15), rng.normal(1, 0.5, 15), rng.uniform(0.1, 1, 15)
    _, hessian = _joint(margins, y, weight, sums)
    latency = np.exp(margins)
    total = sums.fixed + np.bincount(sums.network, latency)
    jacobian = (sums.network == np.arange(3)[:, None]) * latency / total[:, None]
    error = np.log(total) - sums.log_total
    slope = sums.weight / np.sqrt(1 + (error / sums.outlier) ** 2)
    newton = jacobian.T @ np.diag(slope) @ jacobian + np.diag(weight)
    for direction in rng.normal(size=(200, 15)):
        assert direction @ newton @ direction <= hessian @ direction**2 + 1e-9


def test_sums_are_met_where_the_rows_are_all_wrong(rng):
    """Rows that say half: the sums win where they weigh more."""
    rows, network = rng.uniform(size=(300, 3)), np.repeat(np.arange(30), 10)
    truth = 1 + rows[:, 0]
    total = np.log(5 + np.bincount(network, np.exp(truth)))
    trees = BoostedTrees(learning_rate=0.2, colsample_bytree=1.0, bags=1)
    predicted = trees.fit(
        rows, truth - np.log(2), sums=Sums(network, total, np.full(30, 1e3), 5.0, 10.0)
    ).predict(rows)
    found = np.log(5 + np.bincount(network, np.exp(predicted)))
    assert np.abs(found - total).mean() < 0.02
    alone = BoostedTrees(learning_rate=0.2, colsample_bytree=1.0, bags=1).fit(rows, truth - np.log(2))
    assert np.abs(np.log(5 + np.bincount(network, np.exp(alone.predict(rows)))) - total).mean() > 0.3
