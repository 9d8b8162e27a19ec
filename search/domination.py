"""Which points no other dominates, and how much space they dominate. All objectives are minimised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymoo.indicators.hv import HV

from search.objectives import Objective

__all__ = ["Reference", "fronts", "nondominated"]

Floats = NDArray[np.float64]


def nondominated(points: Floats) -> NDArray[np.bool_]:
    """Whether no other point is as good in all objectives and better in one; of equal points the first.
    `points` has shape (n, n_objectives), the result (n,)."""
    order = np.lexsort(points.T[::-1])  # by the first objective, ties by the next: only earlier ones dominate
    result = np.zeros(len(points), dtype=bool)
    if points.shape[1] == 2:  # a staircase: each must be below all before it
        second = points[order, 1]
        lowest = np.concatenate([[np.inf], np.minimum.accumulate(second)[:-1]])
        result[order] = second < lowest
        return result
    rest = order
    while len(rest):
        first, rest = rest[0], rest[1:]
        result[first] = True
        rest = rest[(points[rest] < points[first]).any(axis=1)]
    return result


def fronts(points: Floats, n: int) -> list[NDArray[np.int64]]:
    """Places of at least `n` points (all, if there are fewer), front after front, the best one first."""
    left = np.arange(len(points))
    found: list[NDArray[np.int64]] = []
    while len(left) and sum(map(len, found)) < n:
        best = nondominated(points[left])
        found.append(left[best])
        left = left[~best]
    return found


@dataclass(frozen=True)
class Reference:
    """The box in which hypervolume is measured: `worst` and `best` of each objective, minimised."""

    worst: tuple[float, ...]
    best: tuple[float, ...]

    def normalised(self, points: Floats) -> Floats:
        """0 at `best`, 1 at `worst`, in the shape of `points`."""
        worst, best = np.array(self.worst), np.array(self.best)
        span = worst - best
        return np.asarray((points - best) / np.where(span > 0, span, 1.0), dtype=np.float64)

    def hypervolume(self, points: Floats) -> float:
        """Share of the box that `points`, shape (n, n_objectives), dominate; what lies outside of `worst`
        counts nothing. Can pass 1 where a point is better than `best`."""
        scaled = self.normalised(np.asarray(points, dtype=np.float64).reshape(-1, len(self.worst)))
        inside = scaled[(scaled < 1).all(axis=1)]
        return float(HV(ref_point=np.ones(len(self.worst)))(inside)) if len(inside) else 0.0

    def to_json(self, objectives: Sequence[Objective]) -> dict[str, dict[str, float]]:
        """`worst` and `best` by name, in each objective's own unit and direction."""
        return {
            which: {
                o.name: float(-v if o.is_maximised else v) for o, v in zip(objectives, point, strict=True)
            }
            for which, point in (("worst", self.worst), ("best", self.best))
        }
