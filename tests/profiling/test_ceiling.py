from __future__ import annotations

import numpy as np
import pytest

from profiling.ceiling import ceiling_of, noise_note
from profiling.store import NetworkRecord
from supernet import Architecture

NAN = float("nan")


def records(*pairs):
    return [
        NetworkRecord(Architecture((i,)), "filling", 1, a, b, 1, 0, 0, 9, 0, ())
        for i, (a, b) in enumerate(pairs)
    ]


def test_differences_and_ranks_of_what_was_repeated():
    found = ceiling_of(records((100, 102), (200, NAN), (300, 294), (295, 295), (50, NAN)))
    # By the first latencies 100 < 295 < 300, by the second 102 < 294 < 295: one pair of three is inverted.
    assert found == {
        "networks": 3,
        "mape": pytest.approx((0.02 + 0.02 + 0) / 3),
        "mape_interval": [0, pytest.approx(0.02)],  # that often all of three draws are the same
        "floor": pytest.approx((0.02 + 0.02 + 0) / 3 / 2**0.5),
        "kendall_tau": pytest.approx(1 / 3),
    }


def test_too_few_repeats_have_no_ceiling():
    for pairs in ([], [(100, NAN)], [(100, 101), (200, NAN)]):
        found = ceiling_of(records(*pairs))
        assert (found["mape"], found["kendall_tau"]) == (None, None)
        assert (found["mape_interval"], found["floor"]) == (None, None)
    assert ceiling_of(records((100, 101)))["networks"] == 1


def test_the_floor_is_what_a_perfect_predictor_would_show(rng):
    """Two noisy measurements of known latencies: the error of the truth, judged by the first."""
    truth = rng.uniform(100, 200, 4000)
    first, second = truth * np.exp(0.01 * rng.standard_normal((2, 4000)))
    found = ceiling_of(records(*zip(first, second, strict=True)))
    assert found["floor"] == pytest.approx(np.mean(np.abs(truth / first - 1)), rel=0.03)


def test_the_interval_of_the_ceiling_is_that_of_theory(rng):
    """1.96 standard errors of the mean difference on both sides."""
    difference = rng.exponential(0.01, 400)
    low, high = ceiling_of(records(*((100, 100 * (1 + d)) for d in difference)))["mape_interval"]
    error = difference.std() / 20
    assert low == pytest.approx(difference.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(difference.mean() + 1.96 * error, abs=0.15 * error)


@pytest.mark.parametrize(
    ("ceiling", "mape", "parts"),
    [
        ({"mape": None, "floor": None}, None, []),
        ({"mape": 0.047, "floor": 0.033}, None, ["this machine is noisy", "differ by 4.7%"]),
        ({"mape": 0.02, "floor": 0.014}, 0.01, []),
        ({"mape": 0.047, "floor": 0.033}, 0.04, ["differ by 4.7%", "collect again"]),
        ({"mape": 0.047, "floor": 0.033}, 0.013, ["differ by 4.7%", "this floor is too high"]),
    ],
)
def test_a_noisy_machine_is_said(ceiling, mape, parts):
    note = noise_note(ceiling, mape)
    assert bool(note) == bool(parts)
    assert [part for part in parts if part not in note] == []
    assert ("too high" in note) == (mape == 0.013)
