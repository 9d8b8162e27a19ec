"""The time that a kernel takes at the machine's peak: of what it must move, and of what it must compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiling.kernel import Kernel, bytes_of

__all__ = ["FALLBACK", "Peak", "compute_us", "roofline_us"]

# Operations and bytes a second of one slow core of today, for machines whose peaks were not measured: on the
# slow side, so that the bound is no promise that the machine may not keep.
FALLBACK = {"int8_gops": 50.0, "f32_gops": 20.0, "bandwidth_gbs": 5.0}
# No kernel starts in less.
MIN_US = 0.5


@dataclass(frozen=True)
class Peak:
    """What one inference gets: 10^9 operations a second (two a multiply-accumulate) in INT8 and f32, and
    10^9 bytes a second; whether they were measured."""

    int8_gops: float
    f32_gops: float
    bandwidth_gbs: float
    is_measured: bool

    @classmethod
    def of(cls, meta: dict[str, Any]) -> Peak:
        """From the facts of a store or a card; FALLBACK where they have no usable peak. A CPU without
        INT8 arithmetic (0 operations) computes at its f32 speed. Peaks are measured with all threads on one
        inference, so that one of several streams gets its share."""
        found = meta.get("peak") or {}
        values = {key: float(found.get(key) or 0.0) for key in FALLBACK}
        if min(values["f32_gops"], values["bandwidth_gbs"]) <= 0:
            return cls(**FALLBACK, is_measured=False)
        values["int8_gops"] = values["int8_gops"] or values["f32_gops"]
        streams = int((meta.get("target") or {}).get("streams", 1))
        return cls(**{key: value / streams for key, value in values.items()}, is_measured=True)


def roofline_us(kernels: Sequence[Kernel], peak: Peak) -> NDArray[np.float64]:
    """What kernels take at the machine's peak in microseconds, shape (n_kernels,): the larger of bytes over
    bandwidth and operations over peak (Williams, Waterman & Patterson 2009), never below MIN_US. The
    bandwidth is the memory's: what lies in a cache is faster."""
    return np.array([max(MIN_US, _memory_us(k, peak), _compute_us(k, peak)) for k in kernels])


def compute_us(kernels: Sequence[Kernel], peak: Peak) -> NDArray[np.float64]:
    """A lower bound in microseconds, shape (n_kernels,), wherever the data lie: operations over peak, never
    below MIN_US."""
    return np.array([max(MIN_US, _compute_us(k, peak)) for k in kernels])


def _compute_us(kernel: Kernel, peak: Peak) -> float:
    gops = peak.int8_gops if bytes_of(kernel.in_precision) == 1 else peak.f32_gops
    return 2 * _macs(kernel) / (1e3 * gops)


def _macs(kernel: Kernel) -> int:
    """Also of a product of two activations, whose inner dimension is the last one of its first input."""
    if kernel.kind not in ("MatMul", "Gemm"):
        return kernel.macs
    inner = next((n for n in (kernel.in_width, kernel.in_height) if n > 1), kernel.in_channels)
    return kernel.batch * kernel.out_channels * kernel.out_height * kernel.out_width * inner


def _memory_us(kernel: Kernel, peak: Peak) -> float:
    return kernel.bytes_moved / (1e3 * peak.bandwidth_gbs)
