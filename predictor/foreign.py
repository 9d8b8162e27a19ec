"""Networks that are no member of a predictor's spaces: their kernels, and what each would cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from predictor.base import KernelPredictor
from predictor.features import FEATURES, feature_matrix
from predictor.network import Conditions
from predictor.roofline import Peak, compute_us, roofline_us
from profiling.kernel import ExecutedKernel, Kernel
from supernet.errors import OvnasError

if TYPE_CHECKING:
    import openvino as ov

    from predictor.saved import SavedPredictor
    from profiling.target import Target

__all__ = [
    "Cost",
    "Executed",
    "KnownKernels",
    "Prediction",
    "family_of",
    "is_int8",
    "predict_kernels",
    "priced",
    "read_network",
]

Floats = NDArray[np.float64]
Source = Literal["predicted", "extrapolated", "roofline"]

# How far the true cost may be from what stands in the table, besides the interval: a kernel of a known
# family outside of the range that was learned from, and a roofline bound, which says at the best how fast a
# kernel can be.
EXTRAPOLATED = 1.5
ROOFLINE = 10.0
_SUFFIXES = (".xml", ".onnx")


@dataclass(frozen=True)
class KnownKernels:
    """What a predictor has learned from: for each family of kernels the lowest and the highest value of
    every feature, each of shape (n_features,)."""

    ranges: dict[str, tuple[Floats, Floats]]

    @classmethod
    def of(cls, kernels: Iterable[Kernel], conditions: Conditions) -> KnownKernels:
        """From the training networks' kernels."""
        families: dict[str, list[Kernel]] = {}
        for kernel in dict.fromkeys(kernels):
            families.setdefault(family_of(kernel), []).append(kernel)
        ranges = {}
        for family, members in families.items():
            features = feature_matrix(members, conditions)
            ranges[family] = (features.min(axis=0), features.max(axis=0))
        return cls(ranges)

    @classmethod
    def of_saved(cls, saved: SavedPredictor) -> KnownKernels:
        """Of the architectures that its card says it learned from."""
        from supernet.architecture import Architecture

        kernels = (
            kernel
            for study, texts in saved.card["train_architectures"].items()
            for text in texts
            for kernel in saved.plan_of(study).of(Architecture.parse(text))
        )
        return cls.of(kernels, saved.conditions)

    def judge(self, kernel: Kernel, conditions: Conditions) -> tuple[Source, str]:
        """Whether it can be predicted, and if not, or only by extrapolation, why."""
        family = family_of(kernel)
        if family not in self.ranges:
            return "roofline", f"no {family} was learned from"
        low, high = self.ranges[family]
        own = feature_matrix([kernel], conditions)[0]
        slack = 1e-9 * np.maximum(np.abs(low), np.abs(high))
        outside = np.flatnonzero((own < low - slack) | (own > high + slack))
        if len(outside) == 0:
            return "predicted", ""
        # Said of the feature that is farthest out, in widths of the range.
        far = [max(low[i] - own[i], own[i] - high[i]) / max(high[i] - low[i], 1e-9) for i in outside]
        i = int(outside[int(np.argmax(far))])
        return "extrapolated", f"{FEATURES[i]} {own[i]:.4g} is outside of {low[i]:.4g} to {high[i]:.4g}"


@dataclass(frozen=True)
class Cost:
    """One kernel of a network: the author's operation, what it is, and its share of the time. `reason`
    says why it is not simply predicted."""

    layer: str
    kernel: Kernel
    exec_type: str
    latency_us: float
    source: Source
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The table's row."""
        k = self.kernel
        return {
            "layer": self.layer,
            "kind": k.kind,
            "exec_type": self.exec_type,
            "input": [k.batch, k.in_channels, k.in_height, k.in_width],
            "output": [k.batch, k.out_channels, k.out_height, k.out_width],
            "window": [k.kernel_height, k.kernel_width],
            "precision": [k.in_precision, k.out_precision],
            "macs": k.macs,
            "latency_us": self.latency_us,
            "source": self.source,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Prediction:
    """A network's latency, the ends around it and its kernels, in microseconds. The costs and `overhead_us`
    sum to `latency_us`. `is_calibrated`: the ends are an interval with a known probability, as the network
    belongs to a space that was learned from; else they are a range that promises none."""

    latency_us: float
    low_us: float
    high_us: float
    overhead_us: float
    costs: tuple[Cost, ...]
    is_calibrated: bool

    def part_us(self, source: Source) -> float:
        """Of the kernels whose cost has this source."""
        return sum(c.latency_us for c in self.costs if c.source == source)


def family_of(kernel: Kernel) -> str:
    """What a predictor must have seen to know a kernel at all: its kind, whether it is dense, grouped or
    depthwise, and the precision that it computes in."""
    groups = ""
    if 0 < kernel.in_per_group < kernel.in_channels and kernel.kind != "FullyConnected":
        groups = "depthwise " if kernel.in_per_group == 1 else "grouped "
    is_int8 = kernel.in_precision in ("u8", "i8")
    return f"{groups}{kernel.kind} on {'INT8' if is_int8 else kernel.in_precision}"


def predict_kernels(
    saved: SavedPredictor,
    kernels: Sequence[Kernel],
    layers: Sequence[str],
    exec_types: Sequence[str],
    *,
    study: str | None = None,
) -> Prediction:
    """A network's latency from its kernels, whatever they are; `study` where it is a member of that one's
    space.

    A kernel of a family that was never learned from costs its roofline bound. With p the predicted part
    (and the fixed cost), e the extrapolated part and r the part from rooflines, and [l, h] the factors of the
    predictor's interval, the network's interval is [l (p + e / 1.5) + c, h (p + 1.5 e) + 10 r], where c is
    what those kernels have to compute alone: their data may lie in a cache, which is faster than the memory
    that r counts. Where the machine's peak was not measured, it may be faster: then c / 10. Raises
    OvnasError for a predictor that knows no kernels.
    """
    predictor = saved.predictor
    if not isinstance(predictor, KernelPredictor):
        raise OvnasError(
            f"predictor {saved.name!r} knows the architectures of its own space alone; "
            "take one that knows kernels, such as --predictor xgb"
        )
    lower, upper = saved.interval(np.array([1.0]), study=study)
    return priced(
        predictor,
        saved.conditions,
        KnownKernels.of_saved(saved),
        Peak.of(saved.card),
        (float(lower[0]), float(upper[0])),
        [Executed(*one) for one in zip(kernels, layers, exec_types, strict=True)],
        is_member=study is not None,
    )


@dataclass(frozen=True)
class Executed:
    """A kernel to predict: what it is, the author's operation, and what the plugin would run."""

    kernel: Kernel
    layer: str = ""
    exec_type: str = ""


def priced(
    predictor: KernelPredictor,
    conditions: Conditions,
    known: KnownKernels,
    peak: Peak,
    factors: tuple[float, float],
    network: Sequence[Executed],
    *,
    is_member: bool = False,
) -> Prediction:
    """What `predict_kernels` says, from its parts; `factors` are the ends of the predictor's interval around
    1."""
    kernels = [one.kernel for one in network]
    verdicts = [known.judge(kernel, conditions) for kernel in kernels]
    learned = predictor.kernel_latency_us(kernels, conditions)
    bounds = roofline_us(kernels, peak)
    costs = tuple(
        Cost(
            one.layer,
            one.kernel,
            one.exec_type,
            float(bound if source == "roofline" else own),
            source,
            reason,
        )
        for one, own, bound, (source, reason) in zip(network, learned, bounds, verdicts, strict=True)
    )
    parts = {source: sum(c.latency_us for c in costs if c.source == source) for source in _sources()}
    base = predictor.overhead_us_ + parts["predicted"]
    latency = base + parts["extrapolated"] + parts["roofline"]
    unknown = [one.kernel for one, (source, _) in zip(network, verdicts, strict=True) if source == "roofline"]
    least = float(compute_us(unknown, peak).sum()) / (1.0 if peak.is_measured else ROOFLINE)
    low = factors[0] * (base + parts["extrapolated"] / EXTRAPOLATED) + least
    high = factors[1] * (base + parts["extrapolated"] * EXTRAPOLATED) + ROOFLINE * parts["roofline"]
    return Prediction(
        latency_us=latency,
        # The predicted part may be negative, for the fixed cost is fitted: the ends still lie around.
        low_us=min(low, latency),
        high_us=max(high, latency),
        overhead_us=predictor.overhead_us_,
        costs=costs,
        is_calibrated=is_member and all(c.source == "predicted" for c in costs),
    )


def _sources() -> tuple[Source, ...]:
    return ("predicted", "extrapolated", "roofline")


def read_network(path: Path, target: Target) -> list[ExecutedKernel]:
    """The kernels that OpenVINO would execute of a model file: it is compiled for the target, not run.

    Raises OvnasError if the file is missing, no model, or not of static shapes.
    """
    from profiling.kernel import read_kernels
    from profiling.target import compile_model

    model = _read(path)
    _require_static(model, path)
    try:
        executed = read_kernels(compile_model(model, target))
    except RuntimeError as error:
        raise OvnasError(f"{path} cannot be compiled for the CPU: {_first_line(error)}") from None
    if not executed:
        raise OvnasError(f"{path} has no kernels that depend on an input; there is nothing to predict")
    return executed


def _read(path: Path) -> ov.Model:
    from profiling.target import core

    if path.suffix not in _SUFFIXES:
        raise OvnasError(f"--model takes a file that ends in {' or '.join(_SUFFIXES)}, but got {path}")
    if not path.is_file():
        raise OvnasError(f"there is no model at {path}")
    if path.suffix == ".xml" and not path.with_suffix(".bin").is_file():
        raise OvnasError(f"{path} needs its weights beside it: {path.with_suffix('.bin')} is missing")
    if not (_is_ir(path) if path.suffix == ".xml" else _is_onnx(path)):
        kind = "OpenVINO's IR" if path.suffix == ".xml" else "ONNX"
        raise OvnasError(f"{path} is damaged, or not a model in {kind}; export it again")
    try:
        return core().read_model(path)
    except RuntimeError as error:
        raise OvnasError(f"{path} is not a model that OpenVINO reads: {_first_line(error)}") from None


# Asked first, for OpenVINO would try all its frontends on a foreign file, and they write to the terminal.
def _is_ir(path: Path) -> bool:
    from xml.etree import ElementTree

    try:
        return bool(next(ElementTree.iterparse(path, events=("start",)))[1].tag == "net")
    except (ElementTree.ParseError, StopIteration):
        return False


def _is_onnx(path: Path) -> bool:
    import onnx

    try:
        graph: Any = onnx.load(path, load_external_data=False).graph
    except Exception:  # of protobuf, which has no types; whatever it is, this is no ONNX
        return False
    return len(graph.node) > 0


def _require_static(model: ov.Model, path: Path) -> None:
    for value in model.inputs:
        shape = value.get_partial_shape()
        if shape.is_dynamic:
            raise OvnasError(
                f"{path} has an input {_name(value)} of the dynamic shape {shape}, but a latency belongs to "
                "one shape; fix it first: model.reshape(...) and openvino.save_model(...)"
            )
    for node in model.get_ordered_ops():
        for value in node.outputs():
            if value.get_partial_shape().is_dynamic:
                raise OvnasError(
                    f"{path}: the shape behind {node.get_friendly_name()!r} depends on the data, but a "
                    "latency belongs to one shape; cut the model before it"
                )


def is_int8(kernel: Kernel) -> bool:
    """Whether it multiplies in INT8."""
    return kernel.in_per_group > 0 and kernel.in_precision in ("u8", "i8")


def _name(value: ov.Output) -> str:
    return repr(next(iter(sorted(value.get_names())), "without a name"))


def _first_line(error: Exception) -> str:
    """What OpenVINO says without the places in its sources."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return (told or ["unknown error"])[0][:200]
