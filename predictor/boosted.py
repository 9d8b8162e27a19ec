"""What predictors with boosted trees share: a margin that is known before, trees beyond it, sums that meet
the end-to-end latencies."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from predictor.base import KernelPredictor, kernel_rows, sums_to_latency
from predictor.boosting import BoostedTrees, Sums
from predictor.features import FEATURES, feature_matrix, network_features
from predictor.network import Conditions, Network
from profiling.kernel import Kernel
from supernet.errors import OvnasError

__all__ = ["BoostedPredictor", "balanced"]

Floats = NDArray[np.float64]
MIN_NETWORKS = 5


class BoostedPredictor(KernelPredictor):
    """log latency of a kernel = margin + `trees_`, so fitted that networks' sums meet their latencies.

    `sum_weight` is how much a network's sum counts in units of all its kernels together; a sum that is
    further than `outlier` (a relative error) from its network's latency counts less. `scale_` is what
    the kernels' times were multiplied by, so that with `overhead_us_` they explain the latencies.
    """

    sum_weight: float
    outlier: float
    trees_: BoostedTrees

    def fit(
        self, networks: Sequence[Network], latency_us: Floats, kernel_us: Sequence[Floats] | None = None
    ) -> Self:
        """Raises OvnasError with fewer than five networks and without kernel times."""
        if len(networks) < MIN_NETWORKS:
            raise OvnasError(
                f"a predictor needs at least {MIN_NETWORKS} measured networks, but got {len(networks)}"
            )
        times, network = kernel_rows(networks, kernel_us)
        latency = np.asarray(latency_us, dtype=np.float64)
        self.overhead_us_, self.scale_ = sums_to_latency(times, network, latency)
        features, times = network_features(networks), self.scale_ * times
        weight = balanced(networks)
        n_rows = np.bincount(network, minlength=len(networks))
        row_weight = (weight * n_rows.mean() / n_rows)[network]
        self._fit_margin(networks, features, times, row_weight)
        margin = np.concatenate([self._margin(n.kernels, n.conditions) for n in networks])
        sum_weight = self.sum_weight * n_rows.mean() * weight
        sums = Sums(network, np.log(latency), sum_weight, self.overhead_us_, self.outlier)
        self.trees_ = self._new_trees().fit(features, np.log(times), row_weight, margin=margin, sums=sums)
        return self

    def kernel_latency_us(self, kernels: Sequence[Kernel], conditions: Conditions) -> Floats:
        if not kernels:
            return np.empty(0)
        margin = self._margin(kernels, conditions)
        latency: Floats = np.exp(self.trees_.predict(feature_matrix(kernels, conditions), margin=margin))
        return latency

    def importance(self) -> dict[str, float]:
        """Each feature's share of the trees' gain, largest first."""
        return self.trees_.importance(FEATURES)

    @abstractmethod
    def _fit_margin(
        self, networks: Sequence[Network], features: Floats, times: Floats, weight: Floats
    ) -> None:
        """Learns what `_margin` needs from all networks' kernels, one after the other: features of shape
        (n_rows, n_features), times in microseconds and weights (n_rows,)."""

    @abstractmethod
    def _margin(self, kernels: Sequence[Kernel], conditions: Conditions) -> Floats:
        """Log microseconds of each kernel before the trees, shape (n_kernels,)."""

    def _new_trees(self) -> BoostedTrees:
        """Not fitted, with those of the predictor's parameters that trees have too."""
        own = self.get_params(deep=False)
        return BoostedTrees(**{name: own[name] for name in BoostedTrees().get_params() if name in own})


def balanced(networks: Sequence[Network]) -> Floats:
    """A weight for each network: families (spaces) count alike, and the mean is 1. Shape (n_networks,)."""
    _, family, counts = np.unique([n.space for n in networks], return_inverse=True, return_counts=True)
    return np.asarray(len(networks) / (len(counts) * counts[family]), dtype=np.float64)
