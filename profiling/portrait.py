"""One measured network in figures: its kernels beside this machine's roof, its rounds, what is left over.

Values only; `pictures.py` draws them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from profiling.kernel import Kernel
from profiling.record import KernelTime, NetworkRecord, RawNetwork
from profiling.timing import Level, Round, low, ratio

__all__ = ["FAMILIES", "KernelFigures", "Portrait", "RoundFigure", "family_of", "make_portrait", "short_kind"]

Family = Literal["1x1 convolution", "larger convolution", "grouped convolution", "linear", "pooling", "other"]
FAMILIES: tuple[Family, ...] = (
    "1x1 convolution", "larger convolution", "grouped convolution", "linear", "pooling", "other",
)  # fmt: skip


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
    `peak.measure_peak`'s value or None; `gops` is that of all busy streams. Kernels and `overhead_us`, the
    fixed cost of a call, sum to `latency_us`; `unexplained_us` was left before the kernels were scaled."""

    architecture: str
    latency_us: float
    repeat_us: float | None
    anchor_ratio: float
    macs: int
    gops: float
    peak_share: float | None
    overhead_us: float
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
    raw: RawNetwork,
    peak: dict[str, float] | None,
    *,
    level: Level = low,
    busy_streams: int = 1,
) -> Portrait:
    """The figures of one record and its raw rounds, judged by the store's `level`; MACs and GOP/s are those
    of the executed kernels, of the whole batch on all `busy_streams`."""
    kernels = tuple(_figures(k, record.latency_us, peak, busy_streams) for k in record.kernels)
    macs = sum(k.macs for k in kernels)
    gops = _gops(macs, record.latency_us, busy_streams)
    return Portrait(
        architecture=str(record.architecture),
        latency_us=record.latency_us,
        repeat_us=None if math.isnan(record.repeat_us) else record.repeat_us,
        anchor_ratio=ratio(raw.rounds, level),
        macs=macs,
        gops=gops,
        peak_share=_share(gops, peak, "int8_gops"),
        overhead_us=record.overhead_us,
        unexplained_us=record.unexplained_us,
        counters_difference=record.counters_us / (record.latency_us - record.overhead_us) - 1,
        n_flagged=record.n_flagged,
        n_rounds=record.n_rounds,
        peak=peak,
        kernels=kernels,
        collected=_rounds(raw.rounds, level),
        repeated=_rounds(raw.repeats, level),
    )


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


def short_kind(kernel: Kernel) -> str:
    """In a reader's words: "conv 3x3", "linear", or OpenVINO's name of what is neither."""
    window = f"{kernel.kernel_height}x{kernel.kernel_width}"
    names = {"Convolution": f"conv {window}", "Deconvolution": f"deconv {window}", "FullyConnected": "linear"}
    prefix = "grouped " if family_of(kernel) == "grouped convolution" else ""
    return prefix + names.get(kernel.kind, kernel.kind.lower())


def _shape(channels: int, height: int, width: int) -> str:
    """Channels and map: "64x56²", or "64x56x28", or "64" where there is no map."""
    if height == width:
        return str(channels) if height == 1 else f"{channels}x{height}²"
    return f"{channels}x{height}x{width}"


def _figures(
    item: KernelTime, latency_us: float, peak: dict[str, float] | None, busy_streams: int
) -> KernelFigures:
    kernel = item.kernel
    gops, moved = _gops(kernel.macs, item.time_us, busy_streams), kernel.bytes_moved
    roof = "int8_gops" if item.exec_type.endswith("I8") else "f32_gops"
    return KernelFigures(
        layer=item.layer,
        family=family_of(kernel),
        kind=short_kind(kernel),
        exec_type=item.exec_type,
        shapes=" → ".join(
            (
                _shape(kernel.in_channels, kernel.in_height, kernel.in_width),
                _shape(kernel.out_channels, kernel.out_height, kernel.out_width),
            )
        ),
        time_us=item.time_us,
        share=item.time_us / latency_us,
        macs=kernel.macs,
        gops=gops,
        bytes_moved=moved,
        intensity=2 * kernel.macs / moved,
        peak_share=_share(gops, peak, roof) if kernel.macs else None,
    )


def _gops(macs: int, us: float, busy_streams: int) -> float:
    """10^9 operations a second, two a multiply-accumulate."""
    return 2e-3 * macs / us * busy_streams


def _share(gops: float, peak: dict[str, float] | None, roof: str) -> float | None:
    most = (peak or {}).get(roof, 0.0)
    return gops / most if most else None


def _rounds(rounds: Sequence[Round], level: Level) -> tuple[RoundFigure, ...]:
    return tuple(RoundFigure(r.ratio(level), r.is_flagged) for r in rounds)
