"""Gradient-boosted trees on kernels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import xgboost
from numpy.typing import NDArray

from predictor.base import KernelPredictor, kernel_rows
from predictor.features import FEATURES, feature_matrix, network_features
from predictor.network import Conditions, Network
from profiling.kernel import Kernel
from supernet.errors import OvnasError

__all__ = ["XgbPredictor"]

Floats = NDArray[np.float64]
MODEL_FILE = "model.ubj"
# XGBoost's threads wait for each other by spinning: where another process is busy, a fit of these few
# thousand rows takes a hundred times longer with two than with one.
THREADS = 1


class XgbPredictor(KernelPredictor):
    """XGBoost on the logarithm of a kernel's latency (Chen & Guestrin, KDD 2016).

    A kernel counts as much as its share of the time, for the sum is what must be right. The sum is then
    fitted to the clean end-to-end latencies: `overhead_us_` and `scale_`.
    """

    def __init__(
        self,
        n_estimators: int = 600,
        learning_rate: float = 0.05,
        max_depth: int = 6,
        min_child_weight: float = 1.0,
        subsample: float = 0.7,
        colsample_bytree: float = 0.7,
        seed: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.min_child_weight = min_child_weight
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.seed = seed

    def fit(
        self, networks: Sequence[Network], latency_us: Floats, kernel_us: Sequence[Floats] | None = None
    ) -> Self:
        """Raises OvnasError with fewer than five networks."""
        if len(networks) < 5:
            raise OvnasError(f"a predictor needs at least 5 measured networks, but got {len(networks)}")
        times, _ = kernel_rows(networks, kernel_us)
        data = _matrix(network_features(networks), label=np.log(times), weight=times / times.mean() + 0.1)
        parameters = {
            "objective": "reg:squarederror",
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth,
            "min_child_weight": self.min_child_weight,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample_bytree,
            "seed": self.seed,
            "nthread": THREADS,
        }
        self.booster_ = xgboost.train(parameters, data, num_boost_round=self.n_estimators)
        self.scale_, self.overhead_us_ = 1.0, 0.0
        sums = self.predict(networks)
        latency = np.asarray(latency_us, dtype=np.float64)
        # Relative least squares of latency = overhead + scale * sum.
        design = np.stack([np.ones_like(sums), sums], axis=1) / latency[:, None]
        (overhead, scale), *_ = np.linalg.lstsq(design, np.ones_like(latency), rcond=None)
        self.overhead_us_, self.scale_ = float(overhead), float(scale)
        return self

    def kernel_latency_us(self, kernels: Sequence[Kernel], conditions: Conditions) -> Floats:
        latency: Floats = np.exp(
            self.booster_.predict(_matrix(feature_matrix(kernels, conditions))).astype(np.float64)
        )
        return self.scale_ * latency

    def importance(self) -> dict[str, float]:
        """Each feature's share of the gain, largest first."""
        gains = self.booster_.get_score(importance_type="total_gain")
        total = sum(gains.values())
        return {name: gain / total for name, gain in sorted(gains.items(), key=lambda i: -i[1])}

    def save(self, folder: Path) -> dict[str, Any]:
        self.booster_.save_model(folder / MODEL_FILE)
        return {"overhead_us": self.overhead_us_, "scale": self.scale_}

    def restore(self, folder: Path, state: dict[str, Any]) -> Self:
        self.booster_ = xgboost.Booster({"nthread": THREADS})
        try:
            self.booster_.load_model(folder / MODEL_FILE)
        except xgboost.core.XGBoostError:
            raise OvnasError(f"{folder / MODEL_FILE} is missing or damaged; train again") from None
        self.overhead_us_, self.scale_ = float(state["overhead_us"]), float(state["scale"])
        return self


def _matrix(features: Floats, **options: Floats) -> xgboost.DMatrix:
    return xgboost.DMatrix(features, feature_names=list(FEATURES), nthread=THREADS, **options)
