"""How far predictions are from measurements, on the networks themselves and on resamples of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

__all__ = ["HEADLINE", "LOWER_IS_BETTER", "accuracy_of", "resampled_accuracy"]

Floats = NDArray[np.float64]

WITHIN = (1, 2, 5, 10)
# The figures that get a bootstrap interval.
HEADLINE = ("mape", *(f"within_{p}" for p in WITHIN), "kendall_tau")
LOWER_IS_BETTER = frozenset({"mape", "p95_ape", "width", "regret"})


def accuracy_of(measured: Floats, predicted: Floats) -> dict[str, float]:
    """Fractions, not per cent: mean absolute percentage error, bias (mean relative error), 95th
    percentile, the shares within 1, 2, 5 and 10 %, and rank correlations. NaN rank correlations (all
    predictions equal) count as 0."""
    error = predicted / measured - 1
    distance = np.abs(error)
    tau = kendalltau(measured, predicted).statistic
    rho = spearmanr(measured, predicted).statistic if min(np.ptp(measured), np.ptp(predicted)) > 0 else 0.0
    return {
        "mape": float(distance.mean()),
        "bias": float(error.mean()),
        "p95_ape": float(np.quantile(distance, 0.95)),
        **{f"within_{p}": float((distance <= p / 100).mean()) for p in WITHIN},
        "kendall_tau": float(np.nan_to_num(tau)),
        "spearman": float(np.nan_to_num(rho)),
    }


def resampled_accuracy(measured: Floats, predicted: Floats, indices: NDArray[np.int64]) -> dict[str, Floats]:
    """The figures of HEADLINE for every resample, each of shape (n_resamples,): what `accuracy_of` says
    of `measured[indices[i]]` and `predicted[indices[i]]`. `indices` has shape (n_resamples, n)."""
    distance = np.abs(predicted / measured - 1)
    return {
        "mape": distance[indices].mean(axis=1),
        **{f"within_{p}": (distance <= p / 100)[indices].mean(axis=1) for p in WITHIN},
        "kendall_tau": _resampled_tau(measured, predicted, indices),
    }


def _resampled_tau(measured: Floats, predicted: Floats, indices: NDArray[np.int64]) -> Floats:
    """Kendall's tau-b of every resample, from how often each network is in it: a pair counts as often as
    the product says, and a network drawn twice is a tie with itself in both rankings."""
    n = len(measured)
    weights = np.zeros((len(indices), n))
    np.add.at(weights, (np.arange(len(indices))[:, None], indices), 1.0)
    ours = np.sign(measured[:, None] - measured[None, :])
    theirs = np.sign(predicted[:, None] - predicted[None, :])

    def pairs(matrix: Floats) -> Floats:
        result: Floats = ((weights @ matrix) * weights).sum(axis=1)
        return result

    untied = np.sqrt(pairs(ours**2) * pairs(theirs**2))
    return np.divide(pairs(ours * theirs), untied, out=np.zeros(len(indices)), where=untied > 0)
