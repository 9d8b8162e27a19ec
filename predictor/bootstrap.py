"""Bootstrap over the test networks: how far a figure would move with other networks (Efron 1979).

Percentile intervals. The same resamples serve every predictor, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.metrics import LOWER_IS_BETTER

__all__ = [
    "LEVEL",
    "N_RESAMPLES",
    "Difference",
    "Interval",
    "differences",
    "expanded",
    "interval",
    "intervals",
    "resamples",
]

Floats = NDArray[np.float64]

N_RESAMPLES = 2_000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """What a figure lies in, with a probability of LEVEL."""

    low: float
    high: float

    def to_json(self) -> list[float]:
        """[low, high]."""
        return [self.low, self.high]


@dataclass(frozen=True)
class Difference:
    """A predictor's figure minus a baseline's, with its interval. "better" and "worse" are said only
    where the interval excludes 0; anything else is "not told apart"."""

    value: float
    low: float
    high: float
    verdict: str

    def to_json(self) -> dict[str, float | str]:
        """Its fields."""
        return asdict(self)


def resamples(n: int, *, seed: int = 0, n_resamples: int = N_RESAMPLES) -> NDArray[np.int64]:
    """Places of the networks drawn with replacement, shape (n_resamples, n)."""
    return np.random.default_rng([seed, 5]).integers(n, size=(n_resamples, n))


def interval(values: Floats, level: float = LEVEL) -> Interval:
    """The percentile interval of a figure over its resamples, shape (n_resamples,)."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def expanded(values: Floats, n: int, level: float = LEVEL) -> Interval:
    """As `interval`, of a mean over so few as `n` >= 2 things that were resampled, say 6.

    Resamples of n spread by sqrt((n - 1) / n) too little, and normal quantiles stand where Student's t of
    n - 1 degrees of freedom should: both ends are moved away from the middle by that (Hesterberg 2015).
    """
    from scipy.stats import norm, t

    if n < 2:
        raise ValueError("an interval needs two or more of what is resampled")
    found = interval(values, level)
    middle, half = (found.low + found.high) / 2, (found.high - found.low) / 2
    tail = (1 + level) / 2
    half *= float(np.sqrt(n / (n - 1)) * t.ppf(tail, n - 1) / norm.ppf(tail))
    return Interval(middle - half, middle + half)


def intervals(figures: Mapping[str, Floats]) -> dict[str, Interval]:
    """One interval a figure."""
    return {name: interval(values) for name, values in figures.items()}


def differences(
    ours: Mapping[str, Floats],
    theirs: Mapping[str, Floats],
    our_value: Mapping[str, float],
    their_value: Mapping[str, float],
) -> dict[str, Difference]:
    """Paired differences of the figures that both have; the resamples must be the same ones."""
    found = {}
    for name in [name for name in ours if name in theirs]:
        spread = interval(ours[name] - theirs[name])
        found[name] = Difference(
            our_value[name] - their_value[name], spread.low, spread.high, _verdict(name, spread)
        )
    return found


def _verdict(name: str, spread: Interval) -> str:
    if spread.low <= 0 <= spread.high:
        return "not told apart"
    return "better" if (spread.high < 0) == (name in LOWER_IS_BETTER) else "worse"
