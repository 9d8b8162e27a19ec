"""The repeatability of the measurement itself: no predictor can be better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from profiling.store import NetworkRecord

__all__ = ["ceiling_of"]


def ceiling_of(records: Sequence[NetworkRecord]) -> dict[str, Any]:
    """`mape` (mean absolute difference, a fraction of the first latency) and `kendall_tau` between two
    processes' latencies of the same networks; None where fewer than two were repeated."""
    pairs = np.array([(r.latency_us, r.repeat_us) for r in records if not math.isnan(r.repeat_us)])
    if len(pairs) < 2:
        return {"networks": len(pairs), "mape": None, "kendall_tau": None}
    first, second = pairs.T
    return {
        "networks": len(pairs),
        "mape": float(np.mean(np.abs(second / first - 1))),
        "kendall_tau": float(kendalltau(first, second).statistic),
    }
