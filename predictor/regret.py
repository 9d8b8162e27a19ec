"""What a wrong prediction costs where it matters: in the choice of networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.bootstrap import Interval, interval, resamples

__all__ = ["Regret", "front_of", "regret_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Regret:
    """The choices that a predictor makes, judged by measurement: one for each network's quality.

    Whoever demands a quality takes the network that is predicted to be the fastest of all with at least that
    quality (the first one of equals). `chosen` are the places of those taken, shape (n,), one for each
    network's own quality.
    `regret` is the measured latency of the chosen one over that of the measured fastest with at least that
    quality, minus 1 (0: there was no better choice), shape (n,). The decisions are the same for all
    predictors, so their means can be compared. `spread` is the bootstrap interval of the mean over resampled
    decisions, between the same networks.
    """

    chosen: NDArray[np.int64]
    regret: Floats
    spread: Interval

    @property
    def mean(self) -> float:
        """Mean over the decisions."""
        return float(self.regret.mean())

    @property
    def max(self) -> float:
        """The worst choice."""
        return float(self.regret.max())

    def to_json(self) -> dict[str, Any]:
        """Its figures."""
        return {
            "decisions": len(self.chosen),
            "networks": len(set(self.chosen.tolist())),
            "mean": self.mean,
            "mean_interval": self.spread.to_json(),
            "max": self.max,
        }


def regret_of(measured: Floats, predicted: Floats, quality: Floats, *, seed: int = 0) -> Regret:
    """Of the choices by `predicted`; all of shape (n,), a higher quality is better."""
    good = quality[None, :] >= quality[:, None]
    chosen = np.where(good, predicted[None, :], np.inf).argmin(axis=1)
    best = np.where(good, measured[None, :], np.inf).min(axis=1)
    regret = measured[chosen] / best - 1
    return Regret(chosen, regret, interval(regret[resamples(len(regret), seed=seed)].mean(axis=1)))


def front_of(latency: Floats, quality: Floats) -> NDArray[np.int64]:
    """Places of what nothing dominates, fastest first; equal ones are all kept."""
    faster = latency[None, :] <= latency[:, None]
    better = quality[None, :] >= quality[:, None]
    strictly = (latency[None, :] < latency[:, None]) | (quality[None, :] > quality[:, None])
    free = np.flatnonzero(~(faster & better & strictly).any(axis=1))
    return free[np.argsort(latency[free], kind="stable")]
