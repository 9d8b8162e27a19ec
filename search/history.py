"""How a search went: hypervolume over its real evaluations."""

from __future__ import annotations

from typing import Any

import numpy as np

from search.domination import Reference, nondominated
from search.problem import Problem

__all__ = ["history_of"]

POINTS = 200


def history_of(problem: Problem, reference: Reference, *, n_points: int = POINTS) -> list[dict[str, Any]]:
    """`evaluations`, `hypervolume` of the feasible ones so far and `n_front`, at every evaluation, or at
    `n_points` of them, evenly spread. `reference` is the whole search's, so that the curve can only rise."""
    points, excess = problem.evaluated()
    result = []
    for n in np.unique(np.linspace(1, len(points), min(n_points, len(points))).round().astype(int)):
        seen = points[:n][excess[:n] == 0]
        front = seen[nondominated(seen)] if len(seen) else seen
        result.append(
            {"evaluations": int(n), "hypervolume": reference.hypervolume(front), "n_front": len(front)}
        )
    return result
