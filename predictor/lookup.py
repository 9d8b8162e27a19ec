"""The baseline of tables: a kernel costs what it has cost on the mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from predictor.base import KernelPredictor, kernel_rows, sums_to_latency
from predictor.features import FEATURES, feature_matrix, network_features
from predictor.network import Conditions, Network
from profiling.kernel import Kernel

__all__ = ["LookupPredictor", "MeanOrNearest"]

Floats = NDArray[np.float64]
FILE = "table.npz"
_PLACE = {name: i for i, name in enumerate(FEATURES)}
# A kernel of another kind is never near.
_FAR = 1e3


class MeanOrNearest(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """The mean of the rows that are equal to the asked one, or else of the nearest distinct row."""

    def fit(
        self,
        X: ArrayLike,  # noqa: N803 (the name is scikit-learn's contract)
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """X of shape (n_rows, n_features), y (n_rows,)."""
        rows, labels = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        weight = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
        counts = weight > 0
        self.rows_, inverse = np.unique(rows[counts], axis=0, return_inverse=True)
        inverse, weight = inverse.reshape(-1), weight[counts]
        self.values_ = np.bincount(inverse, weight * labels[counts]) / np.bincount(inverse, weight)
        return self

    def predict(self, X: ArrayLike) -> Floats:  # noqa: N803
        """Shape (n_rows,)."""
        check_is_fitted(self)
        asked = validate_data(self, X, reset=False, dtype=np.float64)
        distance = np.stack([np.square(self.rows_ - row).sum(axis=1) for row in asked])
        nearest: Floats = self.values_[np.argmin(distance, axis=1)]
        return nearest


class LookupPredictor(KernelPredictor):
    """The mean time of the same kernel; for one never seen, the nearest one's by the logarithms of its
    shape, scaled by multiply-accumulates (by bytes for a kernel without any)."""

    def fit(
        self, networks: Sequence[Network], latency_us: Floats, kernel_us: Sequence[Floats] | None = None
    ) -> Self:
        times, network = kernel_rows(networks, kernel_us)
        latency = np.asarray(latency_us, dtype=np.float64)
        self.overhead_us_, scale = sums_to_latency(times, network, latency)
        features = network_features(networks)
        self.table_ = MeanOrNearest().fit(_places(features), scale * times / _work(features))
        return self

    def kernel_latency_us(self, kernels: Sequence[Kernel], conditions: Conditions) -> Floats:
        if not kernels:
            return np.empty(0)
        features = feature_matrix(kernels, conditions)
        rates: Floats = self.table_.predict(_places(features))
        return rates * _work(features)

    def save(self, folder: Path) -> dict[str, Any]:
        np.savez_compressed(folder / FILE, rows=self.table_.rows_, values=self.table_.values_)
        return {"overhead_us": self.overhead_us_}

    def restore(self, folder: Path, state: dict[str, Any]) -> Self:
        self.overhead_us_ = float(state["overhead_us"])
        self.table_ = MeanOrNearest()
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            self.table_.rows_, self.table_.values_ = arrays["rows"], arrays["values"]
        self.table_.n_features_in_ = self.table_.rows_.shape[1]
        return self


def _places(features: Floats) -> Floats:
    """Where a kernel lies among others: logarithms of what counts, and its kind far away."""
    logs = [np.log1p(np.abs(column)) for column in features.T]
    kinds = [_FAR * features[:, i] for name, i in _PLACE.items() if name.startswith("is_")]
    return np.stack([*logs, *kinds], axis=1)


def _work(features: Floats) -> Floats:
    macs = np.expm1(features[:, _PLACE["log_macs"]])
    return np.where(macs > 0.5, macs, 1 + np.expm1(features[:, _PLACE["log_bytes"]]))
