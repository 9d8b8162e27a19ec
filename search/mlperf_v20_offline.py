"""The published ResNet-50s in LoadGen's Offline scenario: short runs in turn, and runs by the rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from rich.progress import Progress

    from search.scenario import Arrangement

__all__ = ["measure_offline"]

QUICK_ROUNDS, ROUNDS = 7, 15
QUICK_RUN_S, RUN_S = 3.0, 10.0


def measure_offline(
    models: Mapping[str, Path],
    home: Path,
    is_quick: bool,
    rng: np.random.Generator,
    bar: Progress,
    keep: Callable[[dict[str, Any]], None],
    earlier: Mapping[str, Any] | None = None,
) -> None:
    """Short Offline runs in turn, ratios by round; without `is_quick` also one run a network by the rules.

    `keep` is told what there is after the rounds, and after each run by the rules; where `earlier`, what an
    interrupted start has kept, lacks some of the latter, only these are made.
    """
    from profiling.machine import default_threads
    from search.measurement import Plan, measure_scenario
    from search.mlperf import new_folder, watcher
    from search.scenario import Arrangement

    # As submitted, by cores: a stream a core, batch 2, twice as many requests.
    n = default_threads()
    arrangement = Arrangement(n, n, 2, 2 * n)
    folder = new_folder(home / "logs", "offline")
    if earlier is not None and not is_quick and _is_half(earlier, models, arrangement):
        value = {**earlier}
        done = len(value.get("by_the_rules", {}))
        bar.console.print(f"the Offline part goes on after {done} of {len(models)} runs by the rules")
    else:
        value = _in_turn(models, arrangement, folder, is_quick, rng, bar)
        keep(value)
    if is_quick:
        return
    watch = watcher(bar, "Offline by the rules")
    plan = Plan(is_quick=False, arrangement=arrangement)
    own = value["by_the_rules"] = {**value.get("by_the_rules", {})}
    for name, model in models.items():
        if name not in own:
            place = folder / f"rules-{name}"
            own[name] = measure_scenario(model, "offline", plan, place, threads=n, watch=watch).to_json()
            keep(value)


def _is_half(earlier: Mapping[str, Any], models: Mapping[str, Path], arrangement: Arrangement) -> bool:
    """Whether runs by the rules are missing, and the others were arranged as now."""
    is_same = earlier["arrangement"] == arrangement.to_json()
    return is_same and len(earlier.get("by_the_rules", {})) < len(models)


def _in_turn(
    models: Mapping[str, Path],
    arrangement: Arrangement,
    folder: Path,
    is_quick: bool,
    rng: np.random.Generator,
    bar: Progress,
) -> dict[str, Any]:
    """The rates of all networks in each round, and their ratios to ResNet-50's."""
    from search.interleaved import in_turn, ratio_of
    from search.loadgen import Test, run_performance, run_trials
    from search.published import BASELINE

    rounds, seconds = (QUICK_ROUNDS, QUICK_RUN_S) if is_quick else (ROUNDS, RUN_S)
    task = bar.add_task("Offline in turn", total=len(models) * (rounds + 1), note="")
    rates: dict[str, float] = {}
    for name, model in models.items():
        test = Test(model, "offline", arrangement, folder / f"trial-{name}", trials=(arrangement,))
        rates[name] = run_trials(test)[0].rate
        bar.update(task, advance=1, note=name)
    valid: dict[str, list[bool]] = {name: [] for name in models}

    def run(name: str, i: int) -> float:
        for again in ("", "-again"):  # where the machine has become faster, it was asked for too few samples
            test = Test(
                models[name], "offline", arrangement, folder / f"round-{i + 1:02d}-{name}{again}",
                rate=1.05 * rates[name], duration_s=seconds,
            )  # fmt: skip
            summary = run_performance(test)
            rates[name] = max(rates[name], summary.value)
            if summary.is_valid:
                break
        valid[name].append(summary.is_valid)
        bar.update(task, advance=1, note=name)
        return summary.value

    found = in_turn(list(models), rounds, rng, run)

    def ratio(name: str) -> dict[str, Any]:
        """Over the rounds in which LoadGen calls both runs valid."""
        both = [i for i in range(rounds) if valid[name][i] and valid[BASELINE][i]]
        if not both:
            return {"value": None, "interval": [None, None]}
        own, base = ([found[one][i] for i in both] for one in (name, BASELINE))
        return ratio_of(own, base).to_json()

    return {
        "arrangement": arrangement.to_json(),
        "rounds": rounds,
        "seconds_a_run": seconds,
        "runs_valid": [sum(map(sum, valid.values())), rounds * len(models)],
        "valid": valid,
        "samples_per_s": found,
        "ratios": {name: ratio(name) for name in models},
        "log_dir": str(folder),
    }
