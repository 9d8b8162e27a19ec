"""What every predictor is: a latency for each network, and for most kinds a sum over kernels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags

from predictor.tables import Tables, kernel_tables
from profiling.kernel import Kernel
from profiling.plan import Plan
from supernet.errors import OvnasError

if TYPE_CHECKING:
    from predictor.network import Conditions, Network

__all__ = ["KernelPredictor", "LatencyPredictor", "kernel_rows", "plain_parameters", "sums_to_latency"]

Floats = NDArray[np.float64]


class LatencyPredictor(RegressorMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """A scikit-learn regressor whose samples are networks. What is learned ends in an underscore."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags

    @abstractmethod
    def fit(
        self,
        networks: Sequence[Network],
        latency_us: Floats,
        kernel_us: Sequence[Floats] | None = None,
    ) -> Self:
        """Learns from latencies of shape (n,) and, where the kind needs them, each network's kernels'
        times, (n_kernels_i,) each. All in microseconds."""

    @abstractmethod
    def predict(self, networks: Sequence[Network]) -> Floats:
        """Latency in microseconds, shape (n_networks,)."""

    @abstractmethod
    def tables(self, plan: Plan, conditions: Conditions) -> Tables:
        """The same latencies as additive tables over a space, for compilation."""

    @abstractmethod
    def save(self, folder: Path) -> dict[str, Any]:
        """Writes what JSON cannot hold into `folder`; returns the rest as a JSON value."""

    @abstractmethod
    def restore(self, folder: Path, state: dict[str, Any]) -> Self:
        """Reads what `save` wrote."""


class KernelPredictor(LatencyPredictor):
    """A network's latency is `overhead_us_` plus the sum of its kernels' latencies."""

    overhead_us_: float

    @abstractmethod
    def kernel_latency_us(self, kernels: Sequence[Kernel], conditions: Conditions) -> Floats:
        """Latency of each kernel in microseconds, shape (n_kernels,)."""

    def predict(self, networks: Sequence[Network]) -> Floats:
        result = np.empty(len(networks))
        for conditions in dict.fromkeys(n.conditions for n in networks):
            places = [i for i, n in enumerate(networks) if n.conditions == conditions]
            kernels = (k for i in places for k in networks[i].kernels)
            distinct = {kernel: i for i, kernel in enumerate(dict.fromkeys(kernels))}
            latency = self.kernel_latency_us(list(distinct), conditions)
            for i in places:
                result[i] = self.overhead_us_ + sum(latency[distinct[k]] for k in networks[i].kernels)
        return result

    def tables(self, plan: Plan, conditions: Conditions) -> Tables:
        return kernel_tables(plan, self.overhead_us_, lambda k: self.kernel_latency_us(k, conditions))


def kernel_rows(
    networks: Sequence[Network], kernel_us: Sequence[Floats] | None
) -> tuple[Floats, NDArray[np.int64]]:
    """The times of all networks' kernels one after the other, and the network that each belongs to.

    Raises OvnasError where kernel times are missing or not one a kernel.
    """
    if kernel_us is None:
        raise OvnasError("this predictor learns from kernels, but got no kernel times; pass kernel_us")
    lengths = [len(n.kernels) for n in networks]
    if [len(times) for times in kernel_us] != lengths:
        raise OvnasError("kernel_us must hold one time for each kernel of each network")
    times = np.concatenate([np.asarray(t, dtype=np.float64) for t in kernel_us])
    return times, np.repeat(np.arange(len(networks)), lengths)


def sums_to_latency(times: Floats, network: NDArray[np.int64], latency_us: Floats) -> tuple[float, float]:
    """`overhead` and `scale`, both >= 0, of latency = overhead + scale x sum of a network's kernel times, by
    least squares of relative errors: the fixed cost of an inference, and what the counters miss. Where a
    fixed cost alone would explain all latencies best, there is none, so that kernels never cost nothing."""
    sums = np.bincount(network, times, len(latency_us)).astype(np.float64)
    design = np.stack([np.ones_like(sums), sums], axis=1) / latency_us[:, None]
    (overhead, scale), _ = nnls(design, np.ones_like(sums))
    if scale == 0:
        overhead, scale = 0.0, design[:, 1].sum() / np.square(design[:, 1]).sum()
    return float(overhead), float(scale)


def plain_parameters(predictor: LatencyPredictor) -> dict[str, Any]:
    """The parameters that JSON can hold; a predictor inside another one is part of its state."""
    plain = (int, float, str, bool, type(None))
    return {k: v for k, v in predictor.get_params(deep=False).items() if isinstance(v, plain)}
