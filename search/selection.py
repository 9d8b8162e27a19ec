"""Which architectures of the predicted front are worth building."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from search.problem import Candidate

__all__ = ["pick_finalists"]


def pick_finalists(candidates: Sequence[Candidate], n: int) -> list[Candidate]:
    """Up to `n` of them, spread evenly over the logarithm of latency, both ends among them; fastest first."""
    ordered = sorted(candidates, key=lambda c: c.latency_us)
    if len(ordered) <= n:
        return ordered
    position = np.log([c.latency_us for c in ordered])
    chosen: list[int] = []
    for wanted in np.linspace(position[0], position[-1], n):
        free = [i for i in range(len(ordered)) if i not in chosen]
        chosen.append(min(free, key=lambda i: abs(position[i] - wanted)))
    return [ordered[i] for i in sorted(chosen)]
