"""What every predictor is: a latency for each kernel, and a fixed cost of an inference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from profiling.kernel import Kernel
from profiling.store import NetworkRecord

__all__ = ["KernelPredictor"]

Floats = NDArray[np.float64]


class KernelPredictor(BaseEstimator, ABC):  # type: ignore[misc]
    """A network's latency is `overhead_us_` plus the sum of its kernels' latencies.

    That sum is what lets a predictor be compiled over a space. What is learned ends in an underscore.
    """

    overhead_us_: float

    @abstractmethod
    def fit(self, networks: Sequence[NetworkRecord]) -> Self:
        """Learns from measured networks and their kernels."""

    @abstractmethod
    def kernel_latency_us(self, kernels: Sequence[Kernel]) -> Floats:
        """Latency of each kernel in microseconds, shape (n_kernels,)."""

    @abstractmethod
    def save(self, folder: Path) -> dict[str, Any]:
        """Writes what JSON cannot hold into `folder`; returns the rest as a JSON value."""

    @abstractmethod
    def restore(self, folder: Path, state: dict[str, Any]) -> Self:
        """Reads what `save` wrote."""

    def predict(self, networks: Sequence[Sequence[Kernel]]) -> Floats:
        """Latency in microseconds of networks given as their kernels, shape (n_networks,)."""
        distinct = {kernel: i for i, kernel in enumerate(dict.fromkeys(k for n in networks for k in n))}
        latency = self.kernel_latency_us(list(distinct))
        sums = [sum(latency[distinct[k]] for k in network) for network in networks]
        return self.overhead_us_ + np.array(sums, dtype=np.float64)
