"""How much faster, and how sure that is: a bootstrap over interleaved rounds.

Each network is compiled several times, for where it lies in memory counts, and timed in rounds between
anchors each time. Its ratio to the anchor is the geometric mean over its copies. The interval is a percentile
one of a two-stage bootstrap (Davison & Hinkley 1997, section 3.8): copies are drawn with replacement, then
the rounds of each. All networks of a measurement share the draws, so that ratios between any two are paired.
The ends are moved outwards by what such an interval of few copies is too narrow by (narrowness bias:
Hesterberg 2015, "What Teachers Should Know About the Bootstrap").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.bootstrap import expanded
from profiling.timing import ROUND_QUANTILE, Level, Round, ratio, trusted

__all__ = ["Draws", "Ratio"]

Floats = NDArray[np.float64]
N_RESAMPLES = 1_000


@dataclass(frozen=True)
class Draws:
    """What all networks of one measurement share: `copies`, shape (n_resamples, n_copies), and the place in
    [0, 1) of each round drawn, (n_resamples, n_copies, n_rounds)."""

    copies: NDArray[np.int64]
    places: Floats

    @classmethod
    def make(
        cls, n_copies: int, n_rounds: int, rng: np.random.Generator, *, n_resamples: int = N_RESAMPLES
    ) -> Draws:
        """For so many copies of so many rounds at most."""
        copies = rng.integers(n_copies, size=(n_resamples, n_copies))
        return cls(copies, rng.random((n_resamples, n_copies, n_rounds)))


@dataclass(frozen=True)
class Ratio:
    """A latency over another one's: the estimate, and its resamples over `n_copies`, shape (n_resamples,)."""

    value: float
    resamples: Floats
    n_copies: int

    @classmethod
    def to_anchor(cls, copies: Sequence[Sequence[Round]], level: Level, draws: Draws) -> Ratio:
        """Of the network whose rounds these are, by copy."""
        value = float(np.exp(np.mean([np.log(ratio(rounds, level)) for rounds in copies])))
        log_ratios = np.empty(draws.copies.shape)
        for index, rounds in enumerate(copies):
            drawn = draws.copies == index
            log_ratios[drawn] = _resampled(rounds, level, draws.places[drawn])
        return cls(value, np.exp(log_ratios.mean(axis=1)), len(copies))

    def over(self, other: Ratio) -> Ratio:
        """This one over the other, both to one anchor in the same rounds."""
        return Ratio(self.value / other.value, self.resamples / other.resamples, self.n_copies)

    @property
    def interval(self) -> list[float]:
        """Both ends, 95 %. Raises ValueError for a single copy, which says nothing of others."""
        return [float(np.exp(end)) for end in expanded(np.log(self.resamples), self.n_copies).to_json()]


def _resampled(rounds: Sequence[Round], level: Level, places: Floats) -> Floats:
    """log of the ratio for each row of drawn places, shape (n_rows,): as `ratio`, over the rounds drawn."""
    chosen = trusted(rounds)
    own = np.array([level(r.samples) for r in chosen])
    anchor = np.array([(level(r.before), level(r.after)) for r in chosen])
    n = len(chosen)
    drawn = (places[:, :n] * n).astype(np.int64)
    ours = np.quantile(own[drawn], ROUND_QUANTILE, axis=1)
    theirs = np.quantile(anchor[drawn].reshape(len(drawn), -1), ROUND_QUANTILE, axis=1)
    return np.asarray(np.log(ours / theirs), dtype=np.float64)
