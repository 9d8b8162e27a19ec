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

__all__ = ["ceiling_of", "noise_note"]

N_RESAMPLES = 2_000
LEVEL = 0.95
# A ceiling above this is that of a noisy machine.
NOISY = 0.02


def ceiling_of(records: Sequence[NetworkRecord], *, seed: int = 0) -> dict[str, Any]:
    """`mape` (mean absolute difference, a fraction of the first latency), `floor` (the mean error that a
    perfect predictor would show) and `kendall_tau` between two processes' latencies of the same networks;
    None where fewer than two were repeated. `mape_interval` is [low, high], the percentile bootstrap interval
    of LEVEL from N_RESAMPLES resamples of the pairs."""
    pairs = np.array([(r.latency_us, r.repeat_us) for r in records if not math.isnan(r.repeat_us)])
    if len(pairs) < 2:
        return dict.fromkeys(("mape", "mape_interval", "floor", "kendall_tau")) | {"networks": len(pairs)}
    first, second = pairs.T
    difference = np.abs(second / first - 1)
    resamples = np.random.default_rng([seed, 7]).integers(len(pairs), size=(N_RESAMPLES, len(pairs)))
    ends = np.quantile(difference[resamples].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {
        "networks": len(pairs),
        "mape": float(difference.mean()),
        "mape_interval": ends.tolist(),
        "floor": float(difference.mean() / math.sqrt(2)),
        "kendall_tau": float(kendalltau(first, second).statistic),
    }


def noise_note(ceiling: dict[str, Any], mape: float | None = None) -> str:
    """What a noisy machine does to figures, or nothing on a quiet one; `mape`: a predictor's error there."""
    if ceiling["mape"] is None or ceiling["mape"] <= NOISY:
        return ""
    note = (
        f"warning: this machine is noisy: two measurements of a network differ by {ceiling['mape']:.1%} on "
        f"the mean ({NOISY:.0%} is the limit), and networks closer than that cannot be told apart; collect "
        "again when it is quiet (python -m profiling.machine says what keeps it busy)."
    )
    if mape is not None and mape < ceiling["floor"]:
        note += (
            " Errors below the floor mean that the repeated measurements were noisier than the others: this "
            "floor is too high."
        )
    return note
