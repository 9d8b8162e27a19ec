"""How far predictions are from measurements."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

__all__ = ["accuracy_of"]


def accuracy_of(measured: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float]:
    """Fractions, not per cent: mean absolute percentage error, bias (mean relative error), 95th
    percentile, the shares within 1, 2, 5 and 10 %, and rank correlations. NaN rank correlations (all
    predictions equal) count as 0."""
    error = predicted / measured - 1
    distance = np.abs(error)
    tau = kendalltau(measured, predicted).statistic
    rho = spearmanr(measured, predicted).statistic if np.ptp(predicted) > 0 else 0.0
    return {
        "mape": float(distance.mean()),
        "bias": float(error.mean()),
        "p95_ape": float(np.quantile(distance, 0.95)),
        **{f"within_{p}": float((distance <= p / 100).mean()) for p in (1, 2, 5, 10)},
        "kendall_tau": float(np.nan_to_num(tau)),
        "spearman": float(np.nan_to_num(rho)),
    }
