"""A search.json value as typed figures, with what an older or shorter file lacks as None."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Finalist", "LayerTime", "Network", "Outcome", "Progress", "Ratio", "Scenario"]

# Finalists are compared with the drop that was asked for; not for a rounding error.
_SLACK = 1e-9


@dataclass(frozen=True)
class Ratio:
    """How many times as good as something else; `low` and `high` end its 95 % interval, where known."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def excludes_one(self) -> bool | None:
        """Whether the whole interval lies above 1; None without an interval."""
        return None if self.low is None else self.low > 1

    @classmethod
    def of(cls, value: dict[str, Any], name: str) -> Ratio | None:
        """From the keys `name` and `name_interval`, None where there is no such figure."""
        if value.get(name) is None:
            return None
        low, high = value.get(f"{name}_interval") or (None, None)
        return cls(float(value[name]), low, high)


@dataclass(frozen=True)
class Network:
    """One network that was built and measured. Accuracies are fractions on the test split, `top1_int8_se` a
    standard error; `int8_layers`: so many of so many layers are executed in INT8."""

    name: str
    architecture: str | None
    macs: int
    n_parameters: int | None
    model_bytes: int | None
    latency_us: float
    throughput_sps: float | None
    top1_fp32: float | None
    top1_int8: float | None
    top1_int8_se: float | None
    int8_layers: tuple[int, int] | None
    files: dict[str, str]

    @classmethod
    def facts(cls, name: str, value: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
        """The fields of a network whose measured figures stand in `measured`."""
        layers = value.get("int8_layers")
        return {
            "name": name,
            "architecture": value.get("architecture"),
            "macs": int(value["macs"]),
            "n_parameters": value.get("n_parameters"),
            "model_bytes": value.get("model_bytes"),
            "latency_us": float(measured["latency_us"]),
            "throughput_sps": measured.get("throughput_sps"),
            "top1_fp32": measured.get("top1_fp32"),
            "top1_int8": measured.get("top1_int8"),
            "top1_int8_se": measured.get("top1_int8_se"),
            "int8_layers": None if not layers else (int(layers[0]), int(layers[1])),
            "files": {kind: str(path) for kind, path in (value.get("files") or {}).items()},
        }


@dataclass(frozen=True)
class Finalist(Network):
    """`predicted_us` and its interval are at the machine's speed when it was profiled, `measured_then_us`
    is the measured latency at that speed. `top1_change` is that of INT8 test accuracy against the baseline,
    a fraction, with its standard error where both judged the same images. `is_faster`: beyond the noise, in
    what the target asks for; None without an interval. `is_feasible` and `violations` are of the measured
    figures."""

    predicted_us: float
    interval_us: tuple[float, float] | None
    predicted_top1: float | None
    measured_then_us: float
    speedup: Ratio
    throughput_speedup: Ratio | None
    speedup_fp32: Ratio | None
    top1_change: float | None
    top1_change_se: float | None
    is_faster: bool | None
    is_inside: bool | None
    is_feasible: bool
    violations: tuple[str, ...]
    round: int | None

    @property
    def error(self) -> float:
        """Relative error of the predicted latency, at the machine's speed when it was profiled."""
        return self.predicted_us / self.measured_then_us - 1

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
    n_front: int | None


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
    """`layers` holds the kernels of the baseline, then of each finalist; empty where none were written."""

    study: str
    machine: dict[str, Any]
    target: dict[str, Any]
    machine_speed: float
    is_accuracy: bool
    quality: str
    objectives: tuple[str, ...]
    constraints: dict[str, float]
    predictor: str | None
    algorithm: str | None
    seed: int | None
    seconds: float | None
    command: str | None
    n_accuracy_measured: int
    n_latency_predicted: int
    n_latency_measured: int | None
    n_test: int | None
    calibration_samples: int | None
    batchnorm_samples: int | None
    history: tuple[Progress, ...]
    reference_point: dict[str, Any] | None
    baseline: Network
    baseline_fp32_us: float | None
    finalists: tuple[Finalist, ...]
    layers: tuple[tuple[LayerTime, ...], ...]
    scenarios: tuple[Scenario, ...]

    @property
    def best(self) -> Finalist | None:
        """The fastest finalist that keeps, measured, to all constraints, of those that are faster than the
        baseline beyond the noise, if any; None if none keeps to them."""
        kept = [f for f in self.finalists if f.is_feasible]
        return max(kept, key=lambda f: (f.is_faster is not False, self.gain(f).value), default=None)

    def gain(self, finalist: Finalist) -> Ratio:
        """What the target asks for: the speed-up in throughput in throughput mode, else in latency."""
        wide = self.target.get("mode") == "throughput"
        return (finalist.throughput_speedup if wide else None) or finalist.speedup

    @classmethod
    def of(cls, value: dict[str, Any]) -> Outcome:
        """From a search.json value of any schema so far."""
        quality = str(value.get("quality") or "validation top-1")
        base = value["baseline"]
        counts = value.get("evaluations") or {}
        return cls(
            study=str(value["study"]),
            machine=value["machine"],
            target=value["target"],
            machine_speed=float(value.get("machine_speed") or 1.0),
            is_accuracy=_is_accuracy(value, quality),
            quality=quality,
            objectives=tuple(value.get("objectives") or ("accuracy", "latency")),
            constraints=_constraints(value),
            predictor=value.get("predictor"),
            algorithm=value.get("algorithm"),
            seed=value.get("seed"),
            seconds=value.get("seconds"),
            command=value.get("command"),
            n_accuracy_measured=int(counts.get("accuracy_measured") or 0),
            n_latency_predicted=int(counts.get("latency_predicted") or 0),
            n_latency_measured=counts.get("latency_measured"),
            n_test=value.get("n_test"),
            calibration_samples=value.get("calibration_samples"),
            batchnorm_samples=value.get("batchnorm_samples"),
            history=tuple(
                Progress(int(p["evaluations"]), float(p["hypervolume"]), p.get("n_front"))
                for p in value.get("history") or ()
                if p.get("hypervolume") is not None
            ),
            reference_point=value.get("reference_point"),
            baseline=Network(**Network.facts("INT8 baseline", base, base)),
            baseline_fp32_us=(base.get("fp32") or {}).get("latency_us"),
            finalists=tuple(_finalist(value, one, i) for i, one in enumerate(value["finalists"], start=1)),
            layers=_layers(value),
            scenarios=tuple(_scenario(one) for one in value.get("mlperf") or ()),
        )


def _is_accuracy(value: dict[str, Any], quality: str) -> bool:
    known = value.get("is_accuracy")
    return quality.startswith("validation") if known is None else bool(known)


def _constraints(value: dict[str, Any]) -> dict[str, float]:
    """Those that were asked for. Up to schema 2 there was one, a fraction."""
    if "max_accuracy_drop" in value:
        return {"max_accuracy_drop": 100 * value["max_accuracy_drop"]}
    return {
        name: float(limit) for name, limit in (value.get("constraints") or {}).items() if limit is not None
    }


def _finalist(value: dict[str, Any], one: dict[str, Any], number: int) -> Finalist:
    measured, predicted = one["measured"], one["predicted"]
    speedup, wide = Ratio.of(measured, "speedup"), Ratio.of(measured, "throughput_speedup")
    speedup = speedup or Ratio(value["baseline"]["latency_us"] / measured["latency_us"])
    low, high = predicted.get("interval_us") or (None, None)
    interval = None if low is None or high is None else (float(low), float(high))
    then_us = measured.get("latency_then_us")  # of several rounds each has its own
    then_us = then_us or measured["latency_us"] * float(value.get("machine_speed") or 1.0)
    own, base = measured.get("top1_int8"), value["baseline"].get("top1_int8")
    change = None if own is None or base is None else own - base
    inside = one.get("is_inside_interval")
    if inside is None and interval is not None:
        inside = interval[0] <= then_us <= interval[1]
    is_wide = value["target"].get("mode") == "throughput" and wide is not None
    gain = wide if is_wide and wide is not None else speedup
    faster = measured.get("is_faster")
    broken = one.get("violations")
    violations = tuple(str(v) for v in (_violations(value, measured) if broken is None else broken))
    feasible = one.get("is_feasible")
    name = f"finalist {number}" + (" (fine-tuned)" if one.get("is_finetuned") else "")
    return Finalist(
        **Network.facts(name, one, measured),
        predicted_us=float(predicted["latency_us"]),
        interval_us=interval,
        predicted_top1=predicted.get("top1"),
        measured_then_us=then_us,
        speedup=speedup,
        throughput_speedup=wide,
        speedup_fp32=Ratio.of(measured, "speedup_fp32"),
        top1_change=change,
        top1_change_se=measured.get("top1_int8_change_se"),
        is_faster=gain.excludes_one if faster is None else bool(faster),
        is_inside=inside,
        is_feasible=not violations if feasible is None else bool(feasible),
        violations=violations,
        round=one.get("round"),
    )


def _violations(value: dict[str, Any], measured: dict[str, Any]) -> list[str]:
    """For a file that does not say: the accuracy drop is the one constraint that it can have."""
    allowed = _constraints(value).get("max_accuracy_drop")
    base, own = value["baseline"].get("top1_int8"), measured.get("top1_int8")
    if allowed is None or base is None or own is None or own >= base - allowed / 100 - _SLACK:
        return []
    return [f"max_accuracy_drop: {100 * (base - own):.2f} > {allowed:g} points"]


def _layers(value: dict[str, Any]) -> tuple[tuple[LayerTime, ...], ...]:
    layers = value.get("layers")
    if not layers:
        return ()
    networks = [layers["baseline"], *layers["finalists"]]
    return tuple(tuple(LayerTime(**kernel) for kernel in network) for network in networks)


def _why_invalid(one: dict[str, Any]) -> str:
    if one.get("verdict") == "VALID" or "reason" in one:
        return str(one.get("reason", ""))
    checks = one.get("summary", {}).get("checks", {})
    failed = [name.removesuffix(" satisfied").lower() for name, passed in checks.items() if not passed]
    return f"not met: {', '.join(failed)}" if failed else "see its log"


def _scenario(one: dict[str, Any]) -> Scenario:
    return Scenario(
        network=str(one["network"]),
        scenario=str(one["scenario"]),
        metric=str(one.get("metric") or ""),
        value=one.get("value"),
        is_valid=one.get("verdict") == "VALID",
        why=_why_invalid(one),
        is_quick=bool(one.get("is_quick")),
    )
