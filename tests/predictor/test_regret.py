from __future__ import annotations

import numpy as np
import pytest

from predictor.regret import front_of, hypervolume, regret_of


def dominated(latency, quality, i) -> bool:
    return any(
        latency[j] <= latency[i]
        and quality[j] >= quality[i]
        and (latency[j] < latency[i] or quality[j] > quality[i])
        for j in range(len(latency))
    )


@pytest.mark.parametrize("seed", range(8))
def test_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    measured = rng.integers(1, 20, 30).astype(float)  # with ties
    predicted = measured + rng.integers(-4, 5, 30)
    quality = np.round(measured + rng.normal(0, 3, 30))
    found = regret_of(measured, predicted, quality)
    chosen = {i for i in range(30) if not dominated(predicted, quality, i)}
    assert set(found.chosen.tolist()) == chosen
    assert (np.diff(predicted[found.chosen]) >= 0).all()
    for place, regret in zip(found.chosen, found.regret, strict=True):
        best = min(m for m, q in zip(measured, quality, strict=True) if q >= quality[place])
        assert regret == measured[place] / best - 1
    assert found.mean == pytest.approx(np.mean(found.regret))
    assert found.max == max(found.regret)
    assert 0 <= found.hypervolume_ratio <= 1 + 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_hypervolume_against_counting_cells(seed):
    """On whole numbers the dominated area is a number of unit squares."""
    rng = np.random.default_rng(seed)
    latency, quality = rng.integers(0, 12, (2, 9)).astype(float)
    cells = sum(
        any(x <= column and y > row for x, y in zip(latency, quality, strict=True))
        for column in range(10)
        for row in range(2, 12)
    )
    assert hypervolume(latency, quality, (10.0, 2.0)) == cells


def test_a_perfect_predictor_has_no_regret(rng):
    measured, quality = rng.uniform(1, 2, 40), rng.uniform(size=40)
    found = regret_of(measured, 3 * measured, quality)
    assert (found.mean, found.max, found.hypervolume_ratio) == (0, 0, 1)
    np.testing.assert_array_equal(found.chosen, front_of(measured, quality))


def test_a_staircase_by_hand():
    """The predictor misses that the second network is slower than the third, which is better, too."""
    measured = np.array([10.0, 25, 20, 40])
    predicted = np.array([10.0, 19, 20, 40])
    quality = np.array([1.0, 2, 3, 4])
    found = regret_of(measured, predicted, quality)
    assert found.chosen.tolist() == [0, 1, 2, 3]
    assert found.regret.tolist() == [0, 0.25, 0, 0]
    assert found.hypervolume_ratio == 1  # the third, which makes up for it, is chosen as well


def test_one_network_is_its_own_front():
    one = np.array([3.0])
    found = regret_of(one, one, one)
    assert (found.mean, found.hypervolume_ratio, found.to_json()["chosen"]) == (0, 1, 1)


def test_equal_networks_are_all_kept():
    assert front_of(np.array([1.0, 1, 2]), np.array([1.0, 1, 1])).tolist() == [0, 1]
