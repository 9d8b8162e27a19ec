"""The repeatability of the measurement itself.

Two measurements of a network differ by the noise of both. A perfect predictor would still be off by that of
the one it is judged by: with independent noise of equal size, the floor is the difference over the root of 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from profiling.store import NetworkRecord

__all__ = ["ceiling_of"]


def ceiling_of(records: Sequence[NetworkRecord]) -> dict[str, Any]:
    """`mape` (mean absolute difference, a fraction of the first latency), `floor` (the mean error that a
    perfect predictor would show) and `kendall_tau` between two processes' latencies of the same networks;
    None where fewer than two were repeated."""
    pairs = np.array([(r.latency_us, r.repeat_us) for r in records if not math.isnan(r.repeat_us)])
    if len(pairs) < 2:
        return {"networks": len(pairs), "mape": None, "floor": None, "kendall_tau": None}
    first, second = pairs.T
    return {
        "networks": len(pairs),
        "mape": float(np.mean(np.abs(second / first - 1))),
        "floor": float(np.mean(np.abs(second / first - 1)) / math.sqrt(2)),
        "kendall_tau": float(kendalltau(first, second).statistic),
    }
