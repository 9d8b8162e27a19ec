from __future__ import annotations

import numpy as np
import pytest

from profiling.timing import Round, low
from search.comparison import COPIES, ROUNDS
from search.speedup import Draws, Ratio


def rounds(rng, ratio: float, n: int = 12, noise: float = 0.0, *, flagged: int = 0) -> list[Round]:
    """The anchor takes 100 us, drifting; the network `ratio` times that."""
    result = []
    for i in range(n):
        drift = rng.uniform(0.9, 1.1)
        samples = np.full(5, 100 * ratio * drift * np.exp(noise * rng.normal()), np.float32)
        anchor = np.full(5, 100 * drift, np.float32)
        is_flagged = i < flagged
        result.append(Round(samples * (5 if is_flagged else 1), anchor, anchor, 0.5, is_flagged))
    return result


@pytest.fixture
def draws(rng) -> Draws:
    return Draws.make(6, 12, rng)


def test_without_noise_it_is_the_ratio(rng, draws):
    found = Ratio.to_anchor([rounds(rng, 0.25) for _ in range(6)], low, draws)
    assert found.value == pytest.approx(0.25, rel=0.02)
    speedup = Ratio.to_anchor([rounds(rng, 1.0) for _ in range(6)], low, draws).over(found)
    assert speedup.value == pytest.approx(1 / found.value, rel=0.02)
    assert speedup.interval[0] <= speedup.value <= speedup.interval[1]
    assert speedup.interval[1] / speedup.interval[0] < 1.2


def test_copies_that_differ_make_it_wide(rng, draws):
    equal = Ratio.to_anchor([rounds(rng, 1.0) for _ in range(6)], low, draws)
    differing = Ratio.to_anchor([rounds(rng, r) for r in (0.8, 1.0, 1.25) * 2], low, draws)
    assert differing.value == pytest.approx(1.0, abs=0.06)

    def width(ratio: Ratio) -> float:
        return ratio.interval[1] - ratio.interval[0]

    assert width(differing) > 2 * width(equal)
    assert differing.interval[0] < 1 < differing.interval[1]  # faster is not to be claimed


def test_two_networks_in_the_same_rounds_are_paired(rng, draws):
    """What disturbs both cancels."""
    one = [rounds(rng, 0.5, noise=0.2) for _ in range(6)]
    other = [[Round(r.samples / 2, r.before, r.after, r.place, r.is_flagged) for r in own] for own in one]
    found = Ratio.to_anchor(one, low, draws).over(Ratio.to_anchor(other, low, draws))
    np.testing.assert_allclose(found.interval, [2, 2], rtol=1e-5)


def test_flagged_rounds_do_not_count(rng, draws):
    copies = [rounds(rng, 0.5, flagged=4) for _ in range(6)]
    assert max(Ratio.to_anchor(copies, low, draws).resamples) < 0.7


@pytest.mark.parametrize(("noise", "spread"), [(0.03, 0.0), (0.003, 0.01)])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(noise, spread):
    """With noisy rounds of equal copies, and with copies that differ: of 40 measurements of one law. The low
    end of noisy rounds lies below the law, so the truth is that of very many rounds."""
    many = rounds(np.random.default_rng(9), 0.5, 2_000, noise)
    once = Draws.make(1, 2_000, np.random.default_rng(0), n_resamples=1)
    truth = Ratio.to_anchor([many], low, once).value
    hits = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        own = 0.5 * np.exp(spread * rng.normal(size=COPIES))
        copies = [rounds(rng, ratio, ROUNDS, noise) for ratio in own]
        draws = Draws.make(COPIES, ROUNDS, rng, n_resamples=200)
        first, last = Ratio.to_anchor(copies, low, draws).interval
        hits += first <= truth <= last
    assert hits >= 36


def test_one_copy_has_no_interval(rng):
    found = Ratio.to_anchor([rounds(rng, 0.5)], low, Draws.make(1, 12, rng))
    with pytest.raises(ValueError, match="two or more"):
        found.interval  # noqa: B018
