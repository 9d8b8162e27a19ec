"""How sure an accuracy is, and a difference of two on the same images: standard errors that do not vanish
where all answers agree."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["change_of", "error_of_share"]


def error_of_share(share: float, n: int) -> float:
    """Standard error of a share of `n` images, with two successes and two failures added (Agresti & Coull
    1998): it is not 0 for 100 %."""
    added = (share * n + 2) / (n + 4)
    return math.sqrt(added * (1 - added) / (n + 4))


def change_of(hits: NDArray[np.bool_], before: NDArray[np.bool_]) -> tuple[float, float]:
    """The share of right answers minus that of `before` on the same images, shape (n,) both, and its standard
    error: of the pairs that differ (McNemar 1947), with half an image added to each kind of pair (Agresti &
    Min 2005)."""
    n = len(hits)
    won, lost = int((hits & ~before).sum()), int((~hits & before).sum())
    variance = (won + lost + 1 - (won - lost) ** 2 / (n + 2)) / (n + 2) ** 2
    return (won - lost) / n, math.sqrt(variance)
