"""Which architectures of the predicted front are worth building."""

from __future__ import annotations

import numpy as np

from search.problem import Candidate

__all__ = ["pick_finalists"]


def pick_finalists(front: list[Candidate], n: int, *, min_quality: float = -float("inf")) -> list[Candidate]:
    """Up to `n` candidates of at least `min_quality`, spread evenly over the logarithm of latency, both
    ends among them; fastest first. Empty if none is good enough."""
    feasible = sorted((c for c in front if c.quality >= min_quality), key=lambda c: c.latency_us)
    if len(feasible) <= n:
        return feasible
    position = np.log([c.latency_us for c in feasible])
    chosen: list[int] = []
    for wanted in np.linspace(position[0], position[-1], n):
        free = [i for i in range(len(feasible)) if i not in chosen]
        chosen.append(min(free, key=lambda i: abs(position[i] - wanted)))
    return [feasible[i] for i in sorted(chosen)]
