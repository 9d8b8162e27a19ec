"""Gradient-boosted trees on kernels, fitted to networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from predictor.base import KernelPredictor, kernel_rows, sums_to_latency
from predictor.boosting import BoostedTrees, Sums
from predictor.features import FEATURES, feature_matrix, network_features
from predictor.network import Conditions, Network
from predictor.rates import Rates
from profiling.kernel import Kernel
from supernet.errors import OvnasError

__all__ = ["XgbPredictor", "balanced", "fit_trees"]

Floats = NDArray[np.float64]
MIN_NETWORKS = 5


class XgbPredictor(KernelPredictor):
    """XGBoost on the logarithm of a kernel's latency over what `predictor.rates` says of it, so fitted that
    the sums meet the end-to-end latencies (see `predictor.boosting`).

    `sum_weight` is how much a network's sum counts in units of all its kernels together; a sum that is
    further than `outlier` (a relative error) from its network's latency counts less.
    """

    # What `predictor.tune` chooses from, by cross-validation over networks.
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
        n_estimators: int = 200,
        n_joint: int = 150,
        learning_rate: float = 0.05,
        max_depth: int = 4,
        subsample: float = 0.7,
        colsample_bytree: float = 0.5,
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

    def fit(
        self, networks: Sequence[Network], latency_us: Floats, kernel_us: Sequence[Floats] | None = None
    ) -> Self:
        """Raises OvnasError with fewer than five networks."""
        if len(networks) < MIN_NETWORKS:
            raise OvnasError(
                f"a predictor needs at least {MIN_NETWORKS} measured networks, but got {len(networks)}"
            )
        times, network = kernel_rows(networks, kernel_us)
        latency = np.asarray(latency_us, dtype=np.float64)
        self.overhead_us_, scale = sums_to_latency(times, network, latency)
        features, times = network_features(networks), scale * times
        weight = balanced(networks)
        self.rates_ = Rates().fit(features, times, weight[network])
        self.trees_ = fit_trees(
            self._trees(), features, times, np.log(self.rates_.predict(features)), network, latency,
            weight, fixed=self.overhead_us_, sum_weight=self.sum_weight, outlier=self.outlier,
        )  # fmt: skip
        return self

    def kernel_latency_us(self, kernels: Sequence[Kernel], conditions: Conditions) -> Floats:
        if not kernels:
            return np.empty(0)
        features = feature_matrix(kernels, conditions)
        margin = np.log(self.rates_.predict(features))
        latency: Floats = np.exp(self.trees_.predict(features, margin=margin))
        return latency

    def importance(self) -> dict[str, float]:
        """Each feature's share of the gain, largest first."""
        return self.trees_.importance(FEATURES)

    def save(self, folder: Path) -> dict[str, Any]:
        return {
            "overhead_us": self.overhead_us_,
            "rates": self.rates_.to_json(),
            "trees": self.trees_.save(folder),
        }

    def restore(self, folder: Path, state: dict[str, Any]) -> Self:
        self.overhead_us_ = float(state["overhead_us"])
        self.rates_ = Rates.from_json(state["rates"])
        self.trees_ = self._trees().restore(folder, state["trees"], len(FEATURES))
        return self

    def _trees(self) -> BoostedTrees:
        return BoostedTrees(
            n_estimators=self.n_estimators,
            n_joint=self.n_joint,
            learning_rate=self.learning_rate,
            max_depth=self.max_depth,
            subsample=self.subsample,
            colsample_bytree=self.colsample_bytree,
            reg_lambda=self.reg_lambda,
            bags=self.bags,
            seed=self.seed,
        )


def balanced(networks: Sequence[Network]) -> Floats:
    """A weight for each network: families (spaces) count alike, and the mean is 1. Shape (n_networks,)."""
    _, family, counts = np.unique([n.space for n in networks], return_inverse=True, return_counts=True)
    return np.asarray(len(networks) / (len(counts) * counts[family]), dtype=np.float64)


def fit_trees(
    trees: BoostedTrees,
    features: Floats,
    times: Floats,
    margin: Floats,
    network: NDArray[np.int64],
    latency: Floats,
    weight: Floats,
    *,
    fixed: float,
    sum_weight: float,
    outlier: float,
) -> BoostedTrees:
    """Fits `trees` to log `times` beyond `margin` and to the networks' latencies. `network` is each row's
    network; `weight` is each network's."""
    n_rows = len(times) / len(latency)
    sums = Sums(network, np.log(latency), n_rows * sum_weight * weight, fixed, outlier)
    return trees.fit(features, np.log(times), weight[network], margin=margin, sums=sums)
