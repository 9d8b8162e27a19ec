"""Gradient-boosted trees on kernels, fitted to networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from predictor.boosted import BoostedPredictor
from predictor.features import FEATURES, feature_matrix
from predictor.network import Conditions, Network
from predictor.rates import Rates
from profiling.kernel import Kernel

__all__ = ["XgbPredictor"]

Floats = NDArray[np.float64]


class XgbPredictor(BoostedPredictor):
    """XGBoost on the logarithm of a kernel's latency over what `predictor.rates` says of it, so fitted that
    the sums meet the end-to-end latencies (see `predictor.boosted`)."""

    # What `predictor.tune` chooses from, by cross-validation over networks. The defaults are what it found on
    # two families (benchmarks/predictor_tuning.py).
    CANDIDATES: ClassVar[dict[str, tuple[float, ...]]] = {
        "n_estimators": (100, 200, 400),
        "n_joint": (0, 150, 300),
        "learning_rate": (0.03, 0.05, 0.1),
        "max_depth": (3, 4, 6),
        "colsample_bytree": (0.3, 0.5, 0.8),
        "reg_lambda": (1.0, 5.0),
        "sum_weight": (1.0, 5.0, 20.0),
    }

    def __init__(
        self,
        n_estimators: int = 100,
        n_joint: int = 300,
        learning_rate: float = 0.03,
        max_depth: int = 6,
        subsample: float = 0.7,
        colsample_bytree: float = 0.8,
        reg_lambda: float = 1.0,
        bags: int = 3,
        sum_weight: float = 20.0,
        outlier: float = 0.02,
        seed: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.n_joint = n_joint
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.reg_lambda = reg_lambda
        self.bags = bags
        self.sum_weight = sum_weight
        self.outlier = outlier
        self.seed = seed

    def _fit_margin(
        self, networks: Sequence[Network], features: Floats, times: Floats, weight: Floats
    ) -> None:
        self.rates_ = Rates().fit(features, times, weight)

    def _margin(self, kernels: Sequence[Kernel], conditions: Conditions) -> Floats:
        return np.asarray(np.log(self.rates_.predict(feature_matrix(kernels, conditions))))

    def save(self, folder: Path) -> dict[str, Any]:
        return {
            "overhead_us": self.overhead_us_,
            "scale": self.scale_,
            "rates": self.rates_.to_json(),
            "trees": self.trees_.save(folder),
        }

    def restore(self, folder: Path, state: dict[str, Any]) -> Self:
        self.overhead_us_, self.scale_ = float(state["overhead_us"]), float(state["scale"])
        self.rates_ = Rates.from_json(state["rates"])
        self.trees_ = self._new_trees().restore(folder, state["trees"], len(FEATURES))
        return self
