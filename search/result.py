"""search.json: what was asked, searched, built and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.certainty import change_of, error_of_share
from search.constraints import Constraints
from search.finalists import Built, Measured, Measurement
from search.speedup import Ratio

__all__ = [
    "SCHEMA_VERSION",
    "Finalist",
    "baseline_value",
    "finalist_value",
    "is_inside",
    "nearest_of",
    "widened",
]

# 1: first.
# 2: the interval of a finalist's predicted latency.
# 3: objectives and constraints; history of hypervolume; intervals of speed-ups, the FP32 baseline; standard
#    errors; rounds; sizes.
# 4: whether a finalist's weights are fine-tuned; speed-ups in throughput over FP32; the change of accuracy
#    with its own standard error; each finalist's latency at the speed when the machine was profiled, and that
#    speed.
SCHEMA_VERSION = 4


@dataclass(frozen=True)
class Finalist:
    """One built and measured network beside the baselines of its own round. `interval_us` is that of its
    predicted latency, at the speed of the machine at which the anchor takes `baseline_us`, with what the
    machine has changed for single networks since."""

    built: Built
    measured: Measured
    beside: Measurement
    interval_us: list[float | None]
    baseline_us: float
    round: int

    @property
    def machine_speed(self) -> float:
        """How many times as fast the machine was when it was measured as when it was profiled."""
        return self.beside.machine_speed(self.baseline_us)


def is_inside(finalist: Finalist) -> bool | None:
    """Whether the measured latency lies in the predicted interval, at that speed of the machine; None without
    a finite interval."""
    low, high = finalist.interval_us
    if low is None or high is None:
        return None
    return low <= latency_then_us(finalist) <= high


def widened(latency_us: float, ends: list[float | None], drift: float) -> list[float | None]:
    """An interval around a predicted latency, for a measurement at another time: both ends move out by
    `drift`, a logarithm, that is independent of the predictor's own error."""
    result: list[float | None] = []
    for end, sign in zip(ends, (-1, 1), strict=True):
        if end is None or end <= 0:
            result.append(end)
            continue
        result.append(float(latency_us * np.exp(sign * np.hypot(np.log(end / latency_us), drift))))
    return result


def latency_then_us(finalist: Finalist) -> float:
    """The measured latency at the machine's speed when it was profiled, which a prediction is of."""
    return finalist.measured.latency_us * finalist.machine_speed


def baseline_value(built: Built, beside: Measurement, n_test: int | None, home: Path) -> dict[str, Any]:
    """The INT8 pre-trained model, and its FP32 latencies."""
    return {
        "architecture": str(built.architecture),
        **_sizes(built),
        **_accuracies(built, n_test),
        "latency_us": beside.baseline.latency_us,
        "throughput_sps": beside.baseline.throughput_sps,
        "fp32": {
            "latency_us": beside.fp32.latency_us,
            "throughput_sps": beside.fp32.throughput_sps,
        },
        "speedup_fp32": beside.baseline.speedup_fp32.value,
        "speedup_fp32_interval": beside.baseline.speedup_fp32.interval,
        "throughput_speedup_fp32": beside.baseline.throughput_speedup_fp32.value,
        "throughput_speedup_fp32_interval": beside.baseline.throughput_speedup_fp32.interval,
        "int8_layers": [built.n_int8_layers, built.n_layers],
        "files": _files(built, home),
    }


def finalist_value(
    finalist: Finalist,
    baseline: Built,
    constraints: Constraints,
    *,
    is_accuracy: bool,
    n_test: int | None,
    home: Path,
) -> dict[str, Any]:
    """One entry of "finalists"."""
    built, measured = finalist.built, finalist.measured
    candidate = built.candidate
    assert candidate is not None
    violations = violations_of(finalist, baseline, constraints)
    change, change_error = _change(built, baseline)
    return {
        "architecture": str(built.architecture),
        "is_finetuned": bool(built.int8_finetuning)
        or (built.finetuning is not None and built.finetuning["epochs"] != 0),
        "finetuning": built.finetuning,
        "int8_finetuning": built.int8_finetuning,
        **_sizes(built),
        "predicted": {
            "latency_us": candidate.latency_us,
            "interval_us": finalist.interval_us,
            "top1": candidate.quality if is_accuracy else None,
        },
        "measured": {
            "latency_us": measured.latency_us,
            "latency_then_us": latency_then_us(finalist),
            "latency_interval_us": _ends(measured.latency_us, measured.speedup, is_inverse=True),
            "throughput_sps": measured.throughput_sps,
            "throughput_interval_sps": _ends(measured.throughput_sps, measured.throughput_speedup),
            "speedup": measured.speedup.value,
            "speedup_interval": measured.speedup.interval,
            "throughput_speedup": measured.throughput_speedup.value,
            "throughput_speedup_interval": measured.throughput_speedup.interval,
            "speedup_fp32": measured.speedup_fp32.value,
            "speedup_fp32_interval": measured.speedup_fp32.interval,
            "throughput_speedup_fp32": measured.throughput_speedup_fp32.value,
            "throughput_speedup_fp32_interval": measured.throughput_speedup_fp32.interval,
            "is_faster": measured.speedup.interval[0] > 1,
            **_accuracies(built, n_test),
            "top1_int8_change": change,
            "top1_int8_change_se": change_error,
        },
        "machine_speed": finalist.machine_speed,
        "is_inside_interval": is_inside(finalist),
        "is_feasible": not violations,
        "violations": violations,
        "int8_layers": [built.n_int8_layers, built.n_layers],
        "files": _files(built, home),
        "round": finalist.round,
    }


def nearest_of(finalists: Sequence[Finalist], baseline: Built, constraints: Constraints) -> int:
    """The place of the one that is measured nearest to keeping all constraints, by relative excess."""

    def excess(finalist: Finalist) -> float:
        found = _figures(finalist.built, finalist.measured)
        return constraints.excess(found, _figures(baseline, finalist.beside.baseline))

    return min(range(len(finalists)), key=lambda i: excess(finalists[i]))


def violations_of(finalist: Finalist, baseline: Built, constraints: Constraints) -> list[str]:
    """One text a constraint that a finalist breaks as it is measured."""
    base = _figures(baseline, finalist.beside.baseline)
    return constraints.violations(_figures(finalist.built, finalist.measured), base)


def _ends(value: float, speedup: Ratio, *, is_inverse: bool = False) -> list[float] | None:
    """A speed-up's interval as one of a latency (the inverse) or throughput: the baseline's stands still."""
    ends = [end / speedup.value for end in speedup.interval]
    if not all(0 < end < float("inf") for end in ends):
        return None
    return [value / end for end in reversed(ends)] if is_inverse else [value * end for end in ends]


def _figures(built: Built, measured: Measured) -> dict[str, float | None]:
    return {
        "latency_us": measured.latency_us,
        "top1": built.top1_int8,
        "macs": built.macs,
        "model_bytes": built.model_bytes,
    }


def _sizes(built: Built) -> dict[str, Any]:
    return {
        "macs": built.macs,
        "n_parameters": built.n_parameters,
        "model_bytes": built.model_bytes,
    }


def _change(built: Built, baseline: Built) -> tuple[float | None, float | None]:
    """INT8 top-1 minus the baseline's, and its standard error, for both judge the same images."""
    if built.hits_int8 is None or baseline.hits_int8 is None:
        return None, None
    return change_of(built.hits_int8, baseline.hits_int8)


def _accuracies(built: Built, n_test: int | None) -> dict[str, Any]:
    """`_se`: the standard error of a share of `n_test` images."""
    found: dict[str, Any] = {}
    for name, top1 in (("top1_fp32", built.top1_fp32), ("top1_int8", built.top1_int8)):
        found[name] = top1
        found[f"{name}_se"] = None if top1 is None or not n_test else error_of_share(top1, n_test)
    return found


def _files(built: Built, home: Path) -> dict[str, str]:
    """Where the files of a network lie once they have been moved to `home`."""
    folder = built.exported.files["ir"].parent.name
    files = {kind: str(home / folder / path.name) for kind, path in built.exported.files.items()}
    return {**files, "card": str(home / folder / "card.json")}
