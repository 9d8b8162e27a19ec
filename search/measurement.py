"""One network in one MLPerf scenario: arranged for this machine, its rate found, judged by LoadGen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.loadgen import Test, Trial, run_performance, run_trials
from search.loadgen_log import Summary
from search.scenario import SCENARIOS, SERVER_BOUND_MS, Arrangement, Scenario, candidates
from search.server_rate import find_rate, queue_rate
from supernet.errors import OvnasError

__all__ = ["QUICK_S", "RULES_S", "Measurement", "Plan", "choose", "measure_scenario"]

Watch = Callable[[str, float, float], None]
"""Told what is going on, the seconds since it began, and how long it will take."""

RULES_S, QUICK_S = 600.0, 10.0
# Of a run that only looks for a rate: seconds, and queries at least.
_SEARCH_S = {True: (3.0, 150), False: (30.0, 2000)}
# A queue that grows without end needs time to pass the bound.
BOUNDS = 10
_TOLERANCE = {True: 0.08, False: 0.02}
# Where the final run at the rate found is not valid after all (on a machine that others disturb, short runs
# promise too much), the next ones are slower, first by a little, until one is; then the rate is bisected to
# within a tolerance of the lowest that was not.
_MOST_FINAL_RUNS = 10
_FIRST_BACK_OFF, _BACK_OFF = 0.95, 0.8
_FINAL_TOLERANCE = 0.12
_SET_UP_S = 4.0


@dataclass(frozen=True)
class Plan:
    """What is asked for. `bound_ms` is of the Server scenario; `arrangement` None is found by trials."""

    is_quick: bool
    bound_ms: float = SERVER_BOUND_MS
    arrangement: Arrangement | None = None
    quick_s: float = QUICK_S

    @property
    def duration_s(self) -> float | None:
        """As `Test` takes it: None for the rules' own."""
        return self.quick_s if self.is_quick else None


@dataclass(frozen=True)
class Measurement:
    """A network's result in a scenario. `tried` are the rates that the search for a Server rate asked for,
    each with whether the bound was met; `refused_rate` is the lowest above the result that was not, None
    where there was none."""

    scenario: str
    summary: Summary
    arrangement: Arrangement
    is_quick: bool
    bound_ms: float | None
    folder: Path
    trials: tuple[Trial, ...]
    tried: tuple[tuple[float, bool], ...] = ()
    refused_rate: float | None = None

    @property
    def metric(self) -> str:
        """What `summary.value` counts."""
        return SCENARIOS[self.scenario].metric

    def to_json(self) -> dict[str, Any]:
        """A JSON value: what a table needs first, then the details."""
        return {
            "scenario": self.scenario,
            "metric": self.metric,
            "value": self.summary.value,
            "verdict": self.summary.verdict,
            "is_quick": self.is_quick,
            "bound_ms": self.bound_ms,
            "arrangement": self.arrangement.to_json(),
            "summary": self.summary.to_json(),
            "trials": [
                {**dataclasses.asdict(t), "arrangement": t.arrangement.to_json()} for t in self.trials
            ],
            "refused_rate": self.refused_rate,
            "rates_tried": [{"rate": rate, "met": met} for rate, met in self.tried],
            "log_dir": str(self.folder),
        }


def measure_scenario(
    model: Path,
    scenario: str,
    plan: Plan,
    folder: Path,
    *,
    threads: int,
    watch: Watch = lambda what, seconds, total: None,
) -> Measurement:
    """Runs the trials and the test, each in a process of its own, logs below `folder`.

    Raises OvnasError if no rate meets the Server scenario's bound. The caller holds the measuring lock.
    """
    rules = SCENARIOS[scenario]
    wanted = candidates(rules, threads) if plan.arrangement is None else [plan.arrangement]
    base = Test(model, scenario, wanted[0], folder / "trial", bound_ms=plan.bound_ms)
    trials = run_trials(
        dataclasses.replace(base, trials=tuple(wanted)),
        lambda s: watch("trying arrangements", s, _SET_UP_S + 3.0 * len(wanted)),
    )
    best = choose(rules, trials, plan.bound_ms)
    test = dataclasses.replace(
        base, arrangement=best.arrangement, rate=1.05 * best.rate, latency_ms=0.8 * best.latency_ms,
        duration_s=plan.duration_s, folder=folder / "run",
    )  # fmt: skip
    tried: list[tuple[float, bool]] = []
    refused = None
    if scenario == "server":
        summary, test, refused = _serve(test, best, plan, folder, tried, watch)
    else:
        summary = run_performance(test, lambda s: watch(scenario, s, _expected_s(test)))
        if scenario == "offline" and not summary.checks.get("Min duration satisfied", True):
            # The machine has become faster since the trial: ask for as many samples as it needs.
            test = dataclasses.replace(test, rate=1.05 * summary.value, folder=folder / "run-again")
            summary = run_performance(test, lambda s: watch(scenario, s, _expected_s(test)))
    bound = plan.bound_ms if scenario == "server" else None
    return Measurement(
        scenario, summary, test.arrangement, plan.is_quick, bound, test.folder, tuple(trials), tuple(tried),
        refused,
    )  # fmt: skip


def choose(rules: Scenario, trials: Sequence[Trial], bound_ms: float) -> Trial:
    """The trial that is best in the scenario: the highest rate, or the lowest latency of a query; for the
    Server scenario the highest rate within the bound of a queue with the trial's times."""
    if rules.name == "offline":
        return max(trials, key=lambda t: t.rate)
    if rules.name == "server":
        return max(trials, key=lambda t: (_queue_rate(t, bound_ms), -t.latency_ms))
    return min(trials, key=lambda t: t.latency_ms)


def _queue_rate(trial: Trial, bound_ms: float) -> float:
    """A guess of the Server scenario's highest rate, from the time that a query holds a busy stream."""
    streams = trial.arrangement.streams
    return queue_rate(streams / trial.rate, streams, bound_ms / 1e3)


def _serve(
    base: Test, best: Trial, plan: Plan, folder: Path, tried: list[tuple[float, bool]], watch: Watch
) -> tuple[Summary, Test, float | None]:
    """Finds the highest rate by short runs, then runs in full at it, and at lower ones until LoadGen calls
    one valid and none much higher, or has refused several. The last run of a rate that is valid counts.
    Returned with the lowest rate above it that never met the bound, None where there was none."""
    if best.latency_ms >= plan.bound_ms:
        raise OvnasError(
            f"the Server scenario asks for {plan.bound_ms:g} ms at the 99th percentile, but one inference "
            f"alone takes {best.latency_ms:.1f} ms here ({best.arrangement}); allow more: --latency-bound"
        )
    seconds, n_queries = _SEARCH_S[plan.is_quick]
    # Where the simulated queue promises nothing, a tenth of what the streams can do.
    guess = _queue_rate(best, plan.bound_ms) or 0.1 * best.rate

    def meets(rate: float) -> bool:
        test = dataclasses.replace(
            base, rate=rate, folder=folder / f"search-{len(tried) + 1:02d}",
            duration_s=max(seconds, n_queries / rate, BOUNDS * plan.bound_ms / 1e3), n_queries=n_queries,
        )  # fmt: skip
        what = f"server at {rate:.1f}/s"
        met = run_performance(test, lambda s: watch(what, s, _expected_s(test))).meets_bound
        tried.append((rate, met))
        return met

    def meets_once(rate: float) -> bool:
        return meets(rate) or meets(rate)  # one stall of the machine is not the rate's fault

    rate = find_rate(meets_once, guess, tolerance=_TOLERANCE[plan.is_quick])
    high = math.inf
    valid: tuple[Summary, Test] | None = None
    for i in range(_MOST_FINAL_RUNS):
        needed_s = base.rules.quick_queries / rate  # for early stopping to have a say
        duration_s = (
            None
            if plan.duration_s is None
            else max(plan.duration_s, 1.1 * needed_s, BOUNDS * plan.bound_ms / 1e3)
        )
        test = dataclasses.replace(
            base, rate=rate, folder=folder / ("run" if i == 0 else f"run-again-{i}"), duration_s=duration_s
        )
        what, total = f"server at {rate:.1f}/s", _expected_s(test)
        summary = run_performance(test, lambda s, w=what, t=total: watch(w, s, t))  # type: ignore[misc]
        if summary.is_valid:
            valid = summary, test
        else:
            high = rate
        if valid is None:
            rate *= _BACK_OFF if i else _FIRST_BACK_OFF
        elif high <= valid[1].rate * (1 + _FINAL_TOLERANCE) or math.isinf(high):
            break
        else:
            rate = math.sqrt(valid[1].rate * high)
    summary, test = valid or (summary, test)
    met = {one for one, is_met in tried if is_met}
    refused = {high, *({one for one, _ in tried} - met)}
    return summary, test, min((one for one in refused if test.rate < one < math.inf), default=None)


def _expected_s(test: Test) -> float:
    """About how long a test takes, its set-up included."""
    duration = RULES_S if test.duration_s is None else test.duration_s
    least = 0.0
    if test.scenario == "offline":
        least = (24_576 if test.duration_s is None else 0) / test.rate
        duration *= 1.1
    elif test.scenario == "server":
        least = (test.n_queries or 0) / test.rate
    else:
        least = test.rules.quick_queries * test.latency_ms / 1e3
    return _SET_UP_S + float(np.maximum(duration, least))
