"""A few of many, evenly spread."""

from __future__ import annotations

import numpy as np

__all__ = ["evenly_spread"]


def evenly_spread(total: int, n: int) -> list[int]:
    """Up to `n` of the places 0 to `total - 1`, both ends among them where n >= 2, in order."""
    return [int(i) for i in np.unique(np.linspace(0, total - 1, max(0, min(n, total))).round().astype(int))]
