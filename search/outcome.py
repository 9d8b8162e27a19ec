"""A search.json value as typed figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search.settings import MEASURE
from supernet.errors import OvnasError

if TYPE_CHECKING:
    from profiling.target import Target

__all__ = ["Finalist", "LayerTime", "Network", "Outcome", "Progress", "Ratio", "Scenario"]

# A change of the anchor's speed since profiling that is worth a word.
MOVED = 0.05


@dataclass(frozen=True)
class Ratio:
    """How many times as good as something else; `low` and `high` end its 95 % interval, where it has one."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def excludes_one(self) -> bool:
        """Whether the whole interval lies above 1."""
        return self.low is not None and self.low > 1

    @classmethod
    def of(cls, value: dict[str, Any], name: str) -> Ratio:
        """From the keys `name` and `name_interval`."""
        low, high = value[f"{name}_interval"]
        return cls(float(value[name]), float(low), float(high))


@dataclass(frozen=True)
class Network:
    """One network that was built and measured. Accuracies are fractions on the test split (None without
    data), `top1_int8_se` a standard error; `int8_layers`: so many of so many layers are executed in INT8."""

    name: str
    architecture: str
    macs: int
    n_parameters: int
    model_bytes: int
    latency_us: float
    throughput_sps: float
    top1_fp32: float | None
    top1_int8: float | None
    top1_int8_se: float | None
    int8_layers: tuple[int, int]
    files: dict[str, str]

    @classmethod
    def facts(cls, name: str, value: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
        """The fields of a network whose measured figures stand in `measured`."""
        executed, layers = value["int8_layers"]
        return {
            "name": name,
            "architecture": str(value["architecture"]),
            "macs": int(value["macs"]),
            "n_parameters": int(value["n_parameters"]),
            "model_bytes": int(value["model_bytes"]),
            "latency_us": float(measured["latency_us"]),
            "throughput_sps": float(measured["throughput_sps"]),
            "top1_fp32": measured["top1_fp32"],
            "top1_int8": measured["top1_int8"],
            "top1_int8_se": measured["top1_int8_se"],
            "int8_layers": (int(executed), int(layers)),
            "files": {kind: str(path) for kind, path in value["files"].items()},
        }


@dataclass(frozen=True)
class Finalist(Network):
    """`predicted_us` and its interval are at the machine's speed when it was profiled, `measured_then_us`
    is the measured latency at that speed. `top1_change` is that of INT8 test accuracy against the baseline,
    a fraction, with its standard error, for both judged the same images. `speedup` is for the study's
    target, `throughput_speedup` with all CPUs busy; `is_faster` is by `speedup`, beyond the noise.
    `is_inside` is None without an interval. `is_feasible` and `violations` are of the measured figures."""

    predicted_us: float
    interval_us: tuple[float, float] | None
    predicted_top1: float | None
    measured_then_us: float
    speedup: Ratio
    throughput_speedup: Ratio
    speedup_fp32: Ratio
    top1_change: float | None
    top1_change_se: float | None
    is_faster: bool
    is_inside: bool | None
    is_feasible: bool
    violations: tuple[str, ...]
    round: int

    @property
    def error(self) -> float:
        """Relative error of the predicted latency, at the machine's speed when it was profiled."""
        return self.predicted_us / self.measured_then_us - 1

    @property
    def predicted_now_us(self) -> float:
        """The prediction at the machine's speed when the finalist was measured."""
        return self.predicted_us * self._now

    @property
    def interval_now_us(self) -> tuple[float, float] | None:
        """Its interval at that speed."""
        if self.interval_us is None:
            return None
        low, high = self.interval_us
        return low * self._now, high * self._now

    @property
    def _now(self) -> float:
        return self.latency_us / self.measured_then_us

    @property
    def measured_then_interval_us(self) -> tuple[float, float] | None:
        """The speed-up's interval as one of `measured_then_us`: the baseline's time stands still."""
        if not self.speedup.low or not self.speedup.high:
            return None
        then = self.measured_then_us * self.speedup.value
        return then / self.speedup.high, then / self.speedup.low


@dataclass(frozen=True)
class Progress:
    """The front after so many real evaluations; `hypervolume` is normalised."""

    evaluations: int
    hypervolume: float
    n_front: int


@dataclass(frozen=True)
class LayerTime:
    """One executed kernel as it is predicted. `index` is its place in the maximal network, `latency_us` None
    where the predictor knows whole networks only."""

    index: int
    layer: str
    kernel: str
    latency_us: float | None
    macs: int
    in_channels: int
    out_channels: int


@dataclass(frozen=True)
class Scenario:
    """What LoadGen said of one network. `is_valid` is its own verdict, `why` what made it another;
    `is_quick`: a short run, which is no submission's."""

    network: str
    scenario: str
    metric: str
    value: float | None
    is_valid: bool
    why: str
    is_quick: bool


@dataclass(frozen=True)
class Outcome:
    """`layers` holds the kernels of the baseline, then of each finalist. `n_test`, the samples and the
    accuracies are None for a study without data."""

    study: str
    machine: dict[str, Any]
    target: Target
    machine_speed: float
    anchor_speed: float
    witness_speeds: tuple[float, ...]
    is_accuracy: bool
    quality: str
    objectives: tuple[str, ...]
    constraints: dict[str, float]
    predictor: str
    algorithm: str
    seed: int
    seconds: float
    command: str
    n_accuracy_measured: int
    n_latency_predicted: int
    n_test: int | None
    calibration_samples: int
    batchnorm_samples: int | None
    history: tuple[Progress, ...]
    reference_point: dict[str, Any]
    baseline: Network
    baseline_fp32_us: float
    finalists: tuple[Finalist, ...]
    layers: tuple[tuple[LayerTime, ...], ...]
    scenarios: tuple[Scenario, ...]

    @property
    def speed_text(self) -> str:
        """What predictions are held against, and whether the machine is still the one that was profiled."""
        if self.predictor == MEASURE:
            return (
                "latencies of the search stand at the machine's speed when finalists were measured, "
                f"{self.machine_speed:.3f} of that when the search measured them"
            )
        by = "by the anchor"
        if speeds := self.witness_speeds:
            by = (
                f"by the median of the anchor ({self.anchor_speed:.3f}) and {len(speeds)} networks that were "
                f"profiled ({min(speeds):.3f} to {max(speeds):.3f})"
            )
        text = (
            "predictions stand at the machine's speed of the measurement, "
            f"{self.machine_speed:.3f} of that when it was profiled, {by}"
        )
        if abs(self.machine_speed - 1) > MOVED:
            text += (
                "; so far apart, networks may not all have changed alike, as intervals know by those alone: "
                "profile again, when nobody else is at work"
            )
        return text

    @property
    def best(self) -> Finalist | None:
        """The fastest finalist that keeps, measured, to all constraints, of those that are faster than the
        baseline beyond the noise, if any; None if none keeps to them."""
        kept = [f for f in self.finalists if f.is_feasible]
        return max(kept, key=lambda f: (f.is_faster, f.speedup.value), default=None)

    @classmethod
    def of(cls, value: dict[str, Any]) -> Outcome:
        """From a search.json value. Raises OvnasError for one of another schema, KeyError for a cut one."""
        from search.result import SCHEMA_VERSION

        if value["schema_version"] != SCHEMA_VERSION:
            raise OvnasError(
                f"search.json has schema {value['schema_version']}, but this version reads {SCHEMA_VERSION}; "
                "search again"
            )
        base, layers = value["baseline"], value["layers"]
        return cls(
            study=str(value["study"]),
            machine=value["machine"],
            target=value["target"],
            machine_speed=float(value["machine_speed"]),
            anchor_speed=float(value.get("anchor_speed", value["machine_speed"])),
            witness_speeds=tuple(
                float(w["latency_then_us"] / w["latency_us"]) for w in value.get("witnesses", ())
            ),
            is_accuracy=bool(value["is_accuracy"]),
            quality=str(value["quality"]),
            objectives=tuple(value["objectives"]),
            constraints={k: float(limit) for k, limit in value["constraints"].items() if limit is not None},
            predictor=str(value["predictor"]),
            algorithm=str(value["algorithm"]),
            seed=int(value["seed"]),
            seconds=float(value["seconds"]),
            command=str(value["command"]),
            n_accuracy_measured=int(value["evaluations"]["accuracy_measured"]),
            n_latency_predicted=int(value["evaluations"]["latency_predicted"]),
            n_test=value["n_test"],
            calibration_samples=int(value["calibration_samples"]),
            batchnorm_samples=value["batchnorm_samples"],
            history=tuple(Progress(**point) for point in value["history"]),
            reference_point=value["reference_point"],
            baseline=Network(**Network.facts("INT8 baseline", base, base)),
            baseline_fp32_us=float(base["fp32"]["latency_us"]),
            finalists=tuple(_finalist(one, i) for i, one in enumerate(value["finalists"], start=1)),
            layers=tuple(
                tuple(LayerTime(**kernel) for kernel in network)
                for network in (layers["baseline"], *layers["finalists"])
            ),
            scenarios=tuple(_scenario(one) for one in value["mlperf"] or ()),
        )


def _finalist(one: dict[str, Any], number: int) -> Finalist:
    measured, predicted = one["measured"], one["predicted"]
    low, high = predicted["interval_us"]
    return Finalist(
        **Network.facts(f"finalist {number}" + " (fine-tuned)" * one["is_finetuned"], one, measured),
        predicted_us=float(predicted["latency_us"]),
        interval_us=None if low is None or high is None else (float(low), float(high)),
        predicted_top1=predicted["top1"],
        measured_then_us=float(measured["latency_then_us"]),
        speedup=Ratio.of(measured, "speedup"),
        throughput_speedup=Ratio.of(measured, "throughput_speedup"),
        speedup_fp32=Ratio.of(measured, "speedup_fp32"),
        top1_change=measured["top1_int8_change"],
        top1_change_se=measured["top1_int8_change_se"],
        is_faster=bool(measured["is_faster"]),
        is_inside=one["is_inside_interval"],
        is_feasible=bool(one["is_feasible"]),
        violations=tuple(map(str, one["violations"])),
        round=int(one["round"]),
    )


def _scenario(one: dict[str, Any]) -> Scenario:
    return Scenario(
        network=str(one["network"]),
        scenario=str(one["scenario"]),
        metric=str(one["metric"]),
        value=one["value"],
        is_valid=one["verdict"] == "VALID",
        why=_why_invalid(one),
        is_quick=bool(one["is_quick"]),
    )


def _why_invalid(one: dict[str, Any]) -> str:
    if one["verdict"] == "VALID" or "reason" in one:
        return str(one.get("reason", ""))
    failed = [
        name.removesuffix(" satisfied").lower()
        for name, passed in one["summary"]["checks"].items()
        if not passed
    ]
    return f"not met: {', '.join(failed)}" if failed else "see its log"
