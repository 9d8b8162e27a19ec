"""What a wrong prediction costs where it matters: in the choice of networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Regret", "front_of", "hypervolume", "regret_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Regret:
    """The front that a predictor chooses, judged by measurement.

    `chosen` are the places of the networks on the predicted front, fastest first. `regret` has one entry
    for each: the measured latency of the chosen network, over that of the measured fastest among all
    networks of at least its quality, minus 1 (0: there was no better choice). `hypervolume_ratio` is the
    hypervolume of the chosen networks at their measured latencies over that of the measured front.
    """

    chosen: NDArray[np.int64]
    regret: Floats
    hypervolume_ratio: float

    @property
    def mean(self) -> float:
        """Mean over the chosen networks."""
        return float(self.regret.mean())

    @property
    def max(self) -> float:
        """The worst choice."""
        return float(self.regret.max())

    def to_json(self) -> dict[str, float | int]:
        """Its figures."""
        return {
            "chosen": len(self.chosen),
            "mean": self.mean,
            "max": self.max,
            "hypervolume_ratio": self.hypervolume_ratio,
        }


def regret_of(measured: Floats, predicted: Floats, quality: Floats) -> Regret:
    """Of the front chosen by `predicted`; all of shape (n,), a higher quality is better.

    A network is chosen if no other is predicted to be at least as fast with at least its quality and
    better in one of the two. Every choice is held against all n networks, not only against the front.
    The reference point of both hypervolumes is the largest measured latency and the lowest quality of all.
    """
    chosen = front_of(predicted, quality)
    best = np.array([measured[quality >= quality[i]].min() for i in chosen])
    reference = (float(measured.max()), float(quality.min()))
    whole = hypervolume(measured, quality, reference)
    part = hypervolume(measured[chosen], quality[chosen], reference)
    return Regret(chosen, measured[chosen] / best - 1, part / whole if whole > 0 else 1.0)


def front_of(latency: Floats, quality: Floats) -> NDArray[np.int64]:
    """Places of what nothing dominates, fastest first; equal ones are all kept."""
    faster = latency[None, :] <= latency[:, None]
    better = quality[None, :] >= quality[:, None]
    strictly = (latency[None, :] < latency[:, None]) | (quality[None, :] > quality[:, None])
    free = np.flatnonzero(~(faster & better & strictly).any(axis=1))
    return free[np.argsort(latency[free], kind="stable")]


def hypervolume(latency: Floats, quality: Floats, reference: tuple[float, float]) -> float:
    """Area that the points dominate, up to the reference (latency, quality): Zitzler & Thiele 1998."""
    worst_latency, level = reference
    area = 0.0
    for place in front_of(latency, quality):
        if latency[place] < worst_latency and quality[place] > level:
            area += (worst_latency - latency[place]) * (quality[place] - level)
            level = float(quality[place])
    return area
