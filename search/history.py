"""How a search went: hypervolume over its real evaluations."""

from __future__ import annotations

from typing import Any

from search.domination import Reference, nondominated
from search.problem import Problem
from supernet.spread import evenly_spread

__all__ = ["history_of"]

POINTS = 200


def history_of(problem: Problem, reference: Reference, *, n_points: int = POINTS) -> list[dict[str, Any]]:
    """`evaluations`, `hypervolume` of the feasible ones so far and `n_front`, at every evaluation, or at
    `n_points` of them, evenly spread. `reference` is the whole search's, so that the curve can only rise."""
    points, excess = problem.evaluated()
    result = []
    for n in (i + 1 for i in evenly_spread(len(points), n_points)):
        seen = points[:n][excess[:n] == 0]
        front = seen[nondominated(seen)] if len(seen) else seen
        result.append({"evaluations": n, "hypervolume": reference.hypervolume(front), "n_front": len(front)})
    return result
