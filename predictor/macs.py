"""The baseline that everyone uses: latency is linear in multiply-accumulates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from predictor.base import KernelPredictor
from predictor.network import Conditions, Network
from profiling.kernel import Kernel

__all__ = ["MacsPredictor"]

Floats = NDArray[np.float64]


class MacsPredictor(KernelPredictor):
    """`overhead_us_` + `us_per_mac_` x MACs, by relative least squares on end-to-end latencies."""

    def fit(
        self, networks: Sequence[Network], latency_us: Floats, kernel_us: Sequence[Floats] | None = None
    ) -> Self:
        latency = np.asarray(latency_us, dtype=np.float64)
        macs = np.array([sum(k.macs for k in network.kernels) for network in networks])
        design = np.stack([np.ones(len(macs)), macs], axis=1) / latency[:, None]
        (overhead, slope), *_ = np.linalg.lstsq(design, np.ones_like(latency), rcond=None)
        self.overhead_us_, self.us_per_mac_ = float(overhead), float(slope)
        return self

    def kernel_latency_us(self, kernels: Sequence[Kernel], conditions: Conditions) -> Floats:
        return self.us_per_mac_ * np.array([k.macs for k in kernels], dtype=np.float64)

    def save(self, folder: Path) -> dict[str, Any]:
        return {"overhead_us": self.overhead_us_, "us_per_mac": self.us_per_mac_}

    def restore(self, folder: Path, state: dict[str, Any]) -> Self:
        self.overhead_us_, self.us_per_mac_ = float(state["overhead_us"]), float(state["us_per_mac"])
        return self
