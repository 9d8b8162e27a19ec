"""Which architectures of the predicted front are worth building."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from search.objectives import DEFAULT, Objective
from search.problem import Candidate

__all__ = ["pick_finalists"]


def pick_finalists(
    candidates: Sequence[Candidate], n: int, objectives: Sequence[Objective] = DEFAULT
) -> list[Candidate]:
    """Up to `n` of them, spread evenly over the logarithm of what the search saves (its first objective
    beside accuracy), both ends among them; the cheapest first."""
    figure = next((o.figure for o in objectives if o.name != "accuracy"), "latency_us")
    ordered = sorted(candidates, key=lambda c: getattr(c, figure))
    if len(ordered) <= n:
        return ordered
    position = np.log([getattr(c, figure) for c in ordered])
    chosen: list[int] = []
    for wanted in np.linspace(position[0], position[-1], n):
        free = [i for i in range(len(ordered)) if i not in chosen]
        chosen.append(min(free, key=lambda i: abs(position[i] - wanted)))
    return [ordered[i] for i in sorted(chosen)]
