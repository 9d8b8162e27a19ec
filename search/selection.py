"""Which architectures of the predicted front, and of those that may be as good, are worth building."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from search.objectives import DEFAULT, Objective
from search.problem import Candidate

__all__ = ["pick_between", "pick_finalists"]


def pick_finalists(
    candidates: Sequence[Candidate], n: int, objectives: Sequence[Objective] = DEFAULT
) -> list[Candidate]:
    """Up to `n` of them, spread evenly over the logarithm of what the search saves (its first objective
    beside accuracy), both ends among them; the cheapest first."""
    place = _place(objectives)
    ordered = sorted(candidates, key=place)
    if len(ordered) <= n:
        return ordered
    position = [place(c) for c in ordered]
    chosen: list[int] = []
    for wanted in np.linspace(position[0], position[-1], n):
        free = [i for i in range(len(ordered)) if i not in chosen]
        chosen.append(min(free, key=lambda i: abs(position[i] - wanted)))
    return [ordered[i] for i in sorted(chosen)]


def pick_between(
    chosen: Sequence[Candidate],
    rivals: Sequence[Candidate],
    n: int,
    objectives: Sequence[Objective] = DEFAULT,
) -> list[Candidate]:
    """Up to `n` of `rivals`, one after another in the widest gap with a rival in it that those `chosen`
    before leave, on the same scale as `pick_finalists` (the last gap ends with the costliest rival): of the
    rivals in its middle half the most accurate, or else the nearest to its middle. The cheapest first."""
    place = _place(objectives)
    found: list[Candidate] = []
    free = list(rivals)
    while free and len(found) < n:
        ends = sorted({place(c) for c in (*chosen, *found)} | {max(place(c) for c in free)})
        gaps = sorted(pairwise([min(map(place, free)), *ends]), key=lambda gap: gap[0] - gap[1])
        for low, high in gaps:
            within = [c for c in free if low <= place(c) <= high]
            if within:
                break
        middle, quarter = (low + high) / 2, (high - low) / 4
        central = [c for c in within if abs(place(c) - middle) <= quarter]
        if central:
            best = max(central, key=lambda c: (c.quality, -abs(place(c) - middle)))
        else:
            best = min(within, key=lambda c: abs(place(c) - middle))
        free.remove(best)
        found.append(best)
    return sorted(found, key=place)


def _place(objectives: Sequence[Objective]) -> Callable[[Candidate], float]:
    """The logarithm of what a search saves."""
    figure = next((o.figure for o in objectives if o.name != "accuracy"), "latency_us")
    return lambda candidate: math.log(getattr(candidate, figure))
