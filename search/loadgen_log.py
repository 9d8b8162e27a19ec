"""What LoadGen writes: its summary, and the answers of an accuracy run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from supernet.errors import OvnasError

__all__ = ["SUMMARY", "Summary", "parse_summary", "read_predictions", "read_summary"]

SUMMARY, ACCURACY = "mlperf_log_summary.txt", "mlperf_log_accuracy.json"

_LINE = re.compile(r"^\s*(?P<name>[^:]+?)\s*:\s*(?P<value>\S.*?)\s*$")
_PERCENTILE = re.compile(r"^(\d+(?:\.\d+)?)(?:th)? percentile latency \(ns\)$")
_ESTIMATE = re.compile(r"^\* Early stopping (\d+(?:\.\d+)?)th percentile estimate$")
_CHECKS = (
    "Performance constraints satisfied",
    "Min duration satisfied",
    "Min queries satisfied",
    "Early stopping satisfied",
)


@dataclass(frozen=True)
class Summary:
    """`value` is the headline: samples a second, or a latency in milliseconds, which is LoadGen's own
    early-stopping estimate where it makes one, as the rules ask. `checks` say what decided the verdict,
    `percentiles_ms` are latencies of queries, `parameters` the test's as LoadGen took them."""

    scenario: str
    value: float
    verdict: str
    checks: Mapping[str, bool]
    percentiles_ms: Mapping[float, float]
    parameters: Mapping[str, float]

    @property
    def is_valid(self) -> bool:
        """LoadGen's own verdict."""
        return self.verdict == "VALID"

    @property
    def meets_bound(self) -> bool:
        """Whether the percentile is within the latency bound, however few queries there were."""
        return self.checks.get("Performance constraints satisfied", True)

    def failed(self) -> list[str]:
        """The checks that made the verdict INVALID."""
        return [name for name, passed in self.checks.items() if not passed]

    def to_json(self) -> dict[str, Any]:
        """A JSON value of the fields."""
        return {
            "scenario": self.scenario,
            "value": self.value,
            "verdict": self.verdict,
            "checks": dict(self.checks),
            "percentiles_ms": {f"{p:g}": ms for p, ms in self.percentiles_ms.items()},
            "parameters": dict(self.parameters),
        }


def read_summary(folder: Path) -> Summary:
    """The summary in a folder of logs. Raises OvnasError if there is none, or it says no result."""
    try:
        text = (folder / SUMMARY).read_text(encoding="utf-8")
    except OSError:
        raise OvnasError(f"LoadGen left no {SUMMARY} in {folder}; see its other logs there") from None
    return parse_summary(text)


def parse_summary(text: str) -> Summary:
    """Reads mlperf_log_summary.txt of a performance run. Raises OvnasError if it holds no result."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        if match := _LINE.match(line):
            values.setdefault(match["name"], match["value"])
    scenario, verdict = values.get("Scenario", ""), values.get("Result is", "")
    percentiles = {
        float(match[1]): float(value) / 1e6
        for name, value in values.items()
        if (match := _PERCENTILE.match(name))
    }
    estimates = {
        float(match[1]): float(value) / 1e6
        for name, value in values.items()
        if (match := _ESTIMATE.match(name))
    }
    try:
        value = _headline(scenario, values, estimates)
    except (KeyError, ValueError):
        raise OvnasError(f"LoadGen's summary has no result for scenario {scenario!r}") from None
    if verdict not in ("VALID", "INVALID"):
        raise OvnasError(f"LoadGen's summary must say VALID or INVALID, but says {verdict!r}")
    return Summary(
        scenario,
        value,
        verdict,
        {name: values[name].lower() == "yes" for name in _CHECKS if name in values},
        percentiles,
        _parameters(text),
    )


def _headline(scenario: str, values: Mapping[str, str], estimates: Mapping[float, float]) -> float:
    if scenario == "Offline":
        return float(values["Samples per second"])
    if scenario == "Server":  # before LoadGen 3: the scheduled rate
        name = "Completed samples per second"
        return float(values[name] if name in values else values["Scheduled samples per second"])
    percentile = {"SingleStream": 90.0, "MultiStream": 99.0}[scenario]
    if percentile in estimates:
        return estimates[percentile]
    return float(values[f"{percentile:.1f}th percentile latency (ns)"]) / 1e6


def _parameters(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in text.partition("Test Parameters Used")[2].splitlines():
        match = _LINE.match(line)
        if match and re.fullmatch(r"\d+(\.\d+)?", match["value"]):
            text_of = match["value"]
            found[match["name"]] = float(text_of) if "." in text_of else int(text_of)
    return found


def read_predictions(folder: Path, n: int) -> NDArray[np.int64]:
    """The class answered for each of `n` samples of an accuracy run, shape (n,).

    A sample may be answered twice with the same class: where MultiStream's queries do not divide the samples,
    LoadGen fills the last one up. Raises OvnasError for any other repeat, and for a sample without an answer.
    """
    try:
        rows = json.loads((folder / ACCURACY).read_text(encoding="utf-8"))
        answers = {(int(r["qsl_idx"]), int(_number(r["data"]))) for r in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OvnasError(f"{folder / ACCURACY} cannot be read: {error}") from None
    if sorted(index for index, _ in answers) != list(range(n)):
        raise OvnasError(
            f"{folder / ACCURACY} must answer each of {n} samples with one class, but has {len(answers)} "
            "different answers"
        )
    return np.array([label for _, label in sorted(answers)], dtype=np.int64)


def _number(data: str) -> float:
    (value,) = np.frombuffer(bytes.fromhex(data), "<f4")
    return float(value)
