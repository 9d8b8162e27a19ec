"""The published ResNet-50s in LoadGen's Server scenario: the highest valid rate of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.scenario import SERVER_BOUND_MS

if TYPE_CHECKING:
    import numpy as np
    from rich.progress import Progress

    from search.measurement import Watch

__all__ = ["measure_server"]

# The submission: 4.8 ms for one inference on a Server stream of 4 cores, bound 15 ms.
BOUND_OVER_LATENCY = 3.0
ASKED_FOR = "as asked for"


def measure_server(
    models: Mapping[str, Path],
    home: Path,
    is_quick: bool,
    bound_ms: float | None,
    rng: np.random.Generator,
    bar: Progress,
    keep: Callable[[dict[str, Any]], None],
    earlier: Mapping[str, Any] | None = None,
) -> None:
    """The highest valid rate of each network, one search each, in a random order.

    `keep` is told what there is after each of them; where `earlier`, what an interrupted start has kept for
    the same bound, lacks some of the networks, only these are measured.
    """
    from profiling.machine import default_threads
    from search.measurement import Plan, measure_scenario
    from search.mlperf import new_folder, watcher
    from search.published import BASELINE
    from supernet.errors import OvnasError

    n = default_threads()
    folder = new_folder(home / "logs", "server")
    watch = watcher(bar, "Server")
    found: dict[str, Any] = {}
    if earlier is not None and _is_half(earlier, models, bound_ms):
        bound, reason, found = earlier["bound_ms"], earlier["bound_reason"], {**earlier["networks"]}
        bar.console.print(f"the Server part goes on after {', '.join(found)}")
    elif bound_ms is not None:
        bound, reason = bound_ms, ASKED_FOR
    else:
        bound, reason = _bound_here(models[BASELINE], folder, n, watch)

    def ratio(name: str) -> dict[str, Any]:
        """Only of rates that LoadGen calls valid; the interval is what the refused rates above them leave
        open, and has no confidence."""
        if any(found.get(one, {}).get("verdict") != "VALID" for one in (name, BASELINE)):
            return {"value": None, "interval": [None, None]}
        (low, high), (base_low, base_high) = (
            (one["value"], one.get("refused_rate")) for one in (found[name], found[BASELINE])
        )
        ends = [None, None] if None in (high, base_high) else [low / base_high, high / base_low]
        return {"value": low / base_low, "interval": ends}

    for place in rng.permutation(len(models)):
        name = list(models)[place]
        if name in found:
            continue
        plan = Plan(is_quick, bound)
        try:
            found[name] = measure_scenario(
                models[name], "server", plan, folder / name, threads=n,
                watch=lambda what, s, total, name=name: watch(f"{name}: {what}", s, total),  # type: ignore[misc]
            ).to_json()  # fmt: skip
        except OvnasError as error:  # such as a bound that it cannot meet: the others count
            found[name] = {"value": None, "verdict": "INVALID", "reason": str(error)}
        keep(
            {
                "bound_ms": bound,
                "bound_reason": reason,
                "networks": {name: found[name] for name in models if name in found},
                "ratios": {name: ratio(name) for name in models},
                "log_dir": str(folder),
            }
        )


def _is_half(earlier: Mapping[str, Any], models: Mapping[str, Path], bound_ms: float | None) -> bool:
    """Whether networks are missing, and the bound is what is asked for now."""
    was_asked_for = earlier["bound_reason"] == ASKED_FOR
    is_same = earlier["bound_ms"] == bound_ms if was_asked_for else bound_ms is None
    return is_same and len(earlier["networks"]) < len(models)


def _bound_here(baseline: Path, folder: Path, threads: int, watch: Watch) -> tuple[float, str]:
    """The rule's bound, or what a slower machine needs, in milliseconds, and the reason for it."""
    from search.loadgen import Test, run_trials
    from search.scenario import SCENARIOS, candidates

    wanted = tuple(candidates(SCENARIOS["server"], threads))
    first = Test(baseline, "server", wanted[0], folder / "trial", trials=wanted)
    latency_ms = min(t.latency_ms for t in run_trials(first, lambda s: watch("trial", s, 10.0)))
    needed = BOUND_OVER_LATENCY * latency_ms
    if needed <= SERVER_BOUND_MS:
        return SERVER_BOUND_MS, "the rule"
    return 5.0 * math.ceil(needed / 5.0), (
        f"one inference of ResNet-50 alone takes {latency_ms:.1f} ms here (4.8 ms on a stream of the "
        f"submission's machine), so that 15 ms leave no room for a queue; the bound is "
        f"{BOUND_OVER_LATENCY:g} times that, as there"
    )
