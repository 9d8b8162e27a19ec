from __future__ import annotations

import pytest

from search.server_rate import find_rate, queue_meets, queue_rate
from supernet.errors import OvnasError


@pytest.mark.parametrize("truth", [3.7, 61.0, 4000.0])
@pytest.mark.parametrize("guess", [0.3, 1.0, 1.7])
def test_the_highest_rate_is_bracketed_and_bisected(truth, guess):
    tried = []

    def meets(rate):
        tried.append(rate)
        return rate <= truth

    found = find_rate(meets, guess * truth, tolerance=0.02)
    assert truth / 1.02 <= found <= truth
    assert len(tried) <= 16
    assert len(set(tried)) == len(tried)


def test_a_good_guess_needs_few_runs():
    tried = []

    def meets(rate):
        tried.append(rate)
        return rate <= 101

    assert find_rate(meets, 100.0, tolerance=0.05) == pytest.approx(100, rel=0.05)
    assert len(tried) <= 5


def test_a_bound_that_no_rate_meets():
    with pytest.raises(OvnasError, match=r"no rate down to .* met the bound"):
        find_rate(lambda rate: False, 100.0)


@pytest.mark.parametrize("guess", [0.0, float("inf"), float("nan")])
def test_a_guess_must_be_a_rate(guess):
    with pytest.raises(OvnasError, match="must start above 0"):
        find_rate(lambda rate: True, guess)


def test_one_that_meets_every_rate_ends():
    assert find_rate(lambda rate: True, 1.0, most=5) == pytest.approx(1.2**4)


def test_the_simulated_server():
    """A single server with fixed service is M/D/1: at 50 % load it waits half a service on average."""
    rate = queue_rate(0.010, 1, 0.030)
    assert queue_meets(rate, 0.010, 1, 0.030)
    assert not queue_meets(1.1 * rate, 0.010, 1, 0.030)
    assert 0.3 < rate * 0.010 < 0.8
    assert queue_rate(0.010, 2, 0.030) > 2 * rate  # two that share one queue do more than two apart


def test_no_bound_is_so_long_that_more_than_the_capacity_is_promised():
    assert 900 < queue_rate(0.001, 1, 100.0) < 1000


def test_nothing_is_promised_where_one_inference_is_too_slow():
    assert queue_rate(0.020, 2, 0.015) == 0.0


def test_the_real_search_on_a_simulated_server():
    found = find_rate(lambda rate: queue_meets(rate, 0.005, 4, 0.015, seed=3), 600.0, tolerance=0.02)
    assert queue_meets(found, 0.005, 4, 0.015, seed=3)
    assert not queue_meets(1.03 * found, 0.005, 4, 0.015, seed=3)
