"""One measured network in figures: its kernels beside this machine's roof, its rounds, what is left over.

Values only; `pictures.py` draws them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from profiling.kernel import Kernel
from profiling.store import KernelTime, NetworkRecord, Store
from profiling.timing import Round, level, ratio
from supernet.architecture import Architecture

__all__ = ["FAMILIES", "KernelFigures", "Portrait", "RoundFigure", "family_of", "make_portrait", "rounds_of"]

Family = Literal["1x1 convolution", "larger convolution", "grouped convolution", "linear", "pooling", "other"]
FAMILIES: tuple[Family, ...] = (
    "1x1 convolution", "larger convolution", "grouped convolution", "linear", "pooling", "other",
)  # fmt: skip

_BYTES = {"u8": 1, "i8": 1, "f16": 2, "bf16": 2, "i64": 8, "f64": 8}


@dataclass(frozen=True)
class KernelFigures:
    """One executed kernel. `share` is of the network's latency; `peak_share` of what this machine
    computes at most in the kernel's precision (None for a kernel without MACs, or an unknown peak);
    `intensity` is operations a byte that must at least be moved."""

    layer: str
    family: Family
    kind: str
    """Short: "conv 3x3", or OpenVINO's name of what is no convolution."""
    exec_type: str
    shapes: str
    time_us: float
    share: float
    macs: int
    gops: float
    bytes_moved: int
    intensity: float
    peak_share: float | None


@dataclass(frozen=True)
class RoundFigure:
    """The network's latency relative to the anchor's in one round."""

    ratio: float
    is_flagged: bool


@dataclass(frozen=True)
class Portrait:
    """A network's figures. `collected` and `repeated` are the rounds of the two processes; `peak` is
    `peak.measure_peak`'s value or None."""

    architecture: str
    latency_us: float
    repeat_us: float | None
    anchor_ratio: float
    macs: int
    gops: float
    peak_share: float | None
    unexplained_us: float
    counters_difference: float
    n_flagged: int
    n_rounds: int
    peak: dict[str, float] | None
    kernels: tuple[KernelFigures, ...]
    collected: tuple[RoundFigure, ...]
    repeated: tuple[RoundFigure, ...]

    def to_json(self) -> dict[str, Any]:
        """All figures as a JSON value."""
        return asdict(self)


def make_portrait(
    record: NetworkRecord,
    collected: Sequence[Round],
    repeated: Sequence[Round],
    peak: dict[str, float] | None,
) -> Portrait:
    """The figures of one record; its MACs and GOP/s are those of the executed kernels, of the whole batch."""
    kernels = tuple(_figures(k, record.latency_us, peak) for k in record.kernels)
    macs = sum(k.macs for k in kernels)
    gops = _gops(macs, record.latency_us)
    explained_us = record.latency_us - record.overhead_us
    return Portrait(
        architecture=str(record.architecture),
        latency_us=record.latency_us,
        repeat_us=None if math.isnan(record.repeat_us) else record.repeat_us,
        anchor_ratio=ratio(collected),
        macs=macs,
        gops=gops,
        peak_share=_share(gops, peak, "int8_gops"),
        unexplained_us=record.overhead_us,
        counters_difference=record.counters_us / explained_us - 1,
        n_flagged=record.n_flagged,
        n_rounds=record.n_rounds,
        peak=peak,
        kernels=kernels,
        collected=_rounds(collected),
        repeated=_rounds(repeated),
    )


def rounds_of(store: Store, architecture: Architecture) -> dict[str, list[Round]]:
    """The raw rounds of one network: "collect" and, in a second process, "repeat"."""
    rounds = store._rounds()
    network = sorted(rounds["collect"])[store.architectures().index(architecture)]
    return {process: rounds[process].get(network, []) for process in ("collect", "repeat")}


def family_of(kernel: Kernel) -> Family:
    """What a kernel is to a reader of a picture."""
    if kernel.kind in ("Convolution", "Deconvolution"):
        if kernel.in_per_group < kernel.in_channels:
            return "grouped convolution"
        is_point = kernel.kernel_height == kernel.kernel_width == 1
        return "1x1 convolution" if is_point else "larger convolution"
    if kernel.kind in ("FullyConnected", "MatMul"):
        return "linear"
    return "pooling" if kernel.kind.startswith(("Pool", "AdaptivePool", "Reduce")) else "other"


def _short_kind(kernel: Kernel) -> str:
    window = f"{kernel.kernel_height}x{kernel.kernel_width}"
    names = {"Convolution": f"conv {window}", "Deconvolution": f"deconv {window}", "FullyConnected": "linear"}
    prefix = "grouped " if family_of(kernel) == "grouped convolution" else ""
    return prefix + names.get(kernel.kind, kernel.kind.lower())


def bytes_moved(kernel: Kernel) -> int:
    """Bytes of all inputs, of the weights and of the output, each touched once: the least possible."""
    size_in, size_out = _BYTES.get(kernel.in_precision, 4), _BYTES.get(kernel.out_precision, 4)
    values_in = kernel.batch * kernel.in_channels * kernel.in_height * kernel.in_width
    values_out = kernel.batch * kernel.out_channels * kernel.out_height * kernel.out_width
    weights = kernel.out_channels * kernel.in_per_group * kernel.kernel_height * kernel.kernel_width
    others = kernel.n_inputs - 1  # a residual addition reads what is as large as the output
    values_others = values_out - values_in if kernel.kind == "Concatenation" else others * values_out
    return size_in * (values_in + weights) + size_out * (values_out + values_others)


def _figures(item: KernelTime, latency_us: float, peak: dict[str, float] | None) -> KernelFigures:
    kernel = item.kernel
    gops, moved = _gops(kernel.macs, item.time_us), bytes_moved(kernel)
    roof = "int8_gops" if item.exec_type.endswith("I8") else "f32_gops"
    return KernelFigures(
        layer=item.layer,
        family=family_of(kernel),
        kind=_short_kind(kernel),
        exec_type=item.exec_type,
        shapes=(
            f"{kernel.in_channels}x{kernel.in_height}x{kernel.in_width} → "
            f"{kernel.out_channels}x{kernel.out_height}x{kernel.out_width}"
        ),
        time_us=item.time_us,
        share=item.time_us / latency_us,
        macs=kernel.macs,
        gops=gops,
        bytes_moved=moved,
        intensity=2 * kernel.macs / moved,
        peak_share=_share(gops, peak, roof) if kernel.macs else None,
    )


def _gops(macs: int, us: float) -> float:
    """10^9 operations a second, two a multiply-accumulate."""
    return 2e-3 * macs / us


def _share(gops: float, peak: dict[str, float] | None, roof: str) -> float | None:
    most = (peak or {}).get(roof, 0.0)
    return gops / most if most else None


def _rounds(rounds: Sequence[Round]) -> tuple[RoundFigure, ...]:
    return tuple(RoundFigure(level(r.samples) / level(r.anchor), r.is_flagged) for r in rounds)
