from __future__ import annotations

import numpy as np
import pytest

from predictor.regret import front_of, regret_of


@pytest.mark.parametrize("seed", range(8))
def test_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    measured = rng.integers(1, 20, 30).astype(float)  # with ties
    predicted = measured + rng.integers(-4, 5, 30)
    quality = np.round(measured + rng.normal(0, 3, 30))
    found = regret_of(measured, predicted, quality)
    for i, (place, regret) in enumerate(zip(found.chosen, found.regret, strict=True)):
        enough = [k for k in range(30) if quality[k] >= quality[i]]
        assert place in enough
        assert predicted[place] == min(predicted[k] for k in enough)
        assert regret == measured[place] / min(measured[k] for k in enough) - 1
    assert found.mean == pytest.approx(np.mean(found.regret))
    assert found.max == max(found.regret)
    assert found.spread.low <= found.mean <= found.spread.high


def test_a_perfect_predictor_has_no_regret(rng):
    measured, quality = rng.uniform(1, 2, 40), rng.uniform(size=40)
    found = regret_of(measured, 3 * measured, quality)
    assert (found.mean, found.max, found.spread.to_json()) == (0, 0, [0, 0])
    assert set(found.chosen) == set(front_of(measured, quality))


def test_a_staircase_by_hand():
    """The predictor misses that the second network is slower than the third, which is better, too."""
    measured = np.array([10.0, 25, 20, 40])
    predicted = np.array([10.0, 19, 20, 40])
    quality = np.array([1.0, 2, 3, 4])
    found = regret_of(measured, predicted, quality)
    assert found.chosen.tolist() == [0, 1, 2, 3]
    assert found.regret.tolist() == [0, 0.25, 0, 0]


def test_a_predictor_that_orders_by_quality_has_regret_like_any_other():
    """One that predicts latency from quality alone takes each network itself, the slow ones, too."""
    measured, quality = np.array([10.0, 30, 20]), np.array([1.0, 2, 3])
    found = regret_of(measured, quality, quality)
    assert found.chosen.tolist() == [0, 1, 2]
    assert found.regret.tolist() == [0, 0.5, 0]


def test_one_network_is_its_own_choice():
    one = np.array([3.0])
    found = regret_of(one, one, one).to_json()
    assert found == {"decisions": 1, "networks": 1, "mean": 0, "mean_interval": [0, 0], "max": 0}


def test_equal_networks_are_all_kept():
    assert front_of(np.array([1.0, 1, 2]), np.array([1.0, 1, 1])).tolist() == [0, 1]
