"""`python -m search.mlperf_v20`: the published ResNet-50s of MLPerf Inference v2.0, measured here."""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.scenario import SERVER_BOUND_MS
from supernet import cli
from supernet.quantities import parse_latency

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress

    from search.published import Published

# 1: first.
SCHEMA_VERSION = 1
STUDY = "resnet50"
QUICK_ROUNDS, ROUNDS = 7, 15
QUICK_RUN_S, RUN_S = 3.0, 10.0
# The submission: 4.8 ms for one inference on a Server stream of 4 cores, bound 15 ms.
BOUND_OVER_LATENCY = 3.0
PARTS = ("offline", "server", "search")


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(
        "search.mlperf_v20",
        "INT8 ResNet-50 and the three sub-networks of Intel's submission to MLPerf Inference v2.0 (open), "
        "run here by LoadGen, beside the published figures.",
    )
    parser.set_defaults(study=STUDY)
    parser.add_argument(
        "--quick", action="store_true", help="runs of seconds in place of the rules' 10 minutes"
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="of ResNet-50 (default: random; only speed is compared)"
    )
    parser.add_argument(
        "--parts", metavar="LIST", help="some of offline, server and search, which is what a search "
        "finds with the MACs of A, B and C (default: all, search where there is a predictor)",
    )  # fmt: skip
    parser.add_argument(
        "--predictor", type=Path, metavar="FOLDER", help="of latency, for the search "
        "(default: RUNS_DIR/resnet50_fine16/predictor/xgb)",
    )  # fmt: skip
    parser.add_argument(
        "--latency-bound", metavar="TIME",
        help="of the Server scenario (default: 15ms, or what this machine needs; it is printed)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: RUNS_DIR/mlperf_v20")
    return cli.run(compare, parser.parse_args(argv))


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures the parts asked for, prints the table, writes mlperf_v20.json; returns its value."""
    import numpy as np

    from profiling.lock import measuring
    from profiling.machine import read_machine
    from search.beyond import FINE
    from search.loadgen import require_loadgen
    from search.mlperf_v20_table import print_table
    from search.published import load_published
    from supernet.errors import OvnasError
    from supernet.whole_files import write_json

    if arguments.study != STUDY:
        raise OvnasError(f"the published networks are sub-networks of {STUDY}; leave --study out")
    start = time.monotonic()
    out = cli.console(arguments)
    predictor = arguments.predictor or arguments.runs_dir / FINE / "predictor" / "xgb"
    parts = _parts(arguments, predictor, out)
    bound_ms = (
        None
        if arguments.latency_bound is None
        else parse_latency(arguments.latency_bound, "--latency-bound") / 1e3
    )
    if bound_ms and "server" not in parts:
        raise OvnasError("--latency-bound is of the part server; leave it out, or add that to --parts")
    if set(parts) & {"offline", "server"}:
        require_loadgen()
    if "search" in parts:  # noticed now, not after what takes hours
        from search.beyond import beyond_published, load_predictor

        load_predictor(predictor)
    home: Path = arguments.out or arguments.runs_dir / "mlperf_v20"
    published = load_published()
    rng = np.random.default_rng(arguments.seed)
    weights = "random" if arguments.weights is None else str(arguments.weights)
    value: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "machine": read_machine(),
        "is_quick": arguments.quick,
        "weights": weights,
        "seed": arguments.seed,
    }
    path = home / "mlperf_v20.json"
    value |= _earlier(path, value, out)  # parts measured before stay
    command = shlex.join(["python", "-m", "search.mlperf_v20", *sys.argv[1:]])

    def keep(part: str, found: dict[str, Any]) -> None:
        """On disk at once, and again with each network that is added: each takes minutes."""
        value[part] = {"command": command, **found}
        value["seconds"] = round(time.monotonic() - start, 1)
        home.mkdir(parents=True, exist_ok=True)
        write_json(value, path)

    with measuring(), cli.progress(out) as bar:
        if set(parts) & {"offline", "server"}:
            models = _build(published, arguments.weights, home / "networks", bar)
        if "offline" in parts:
            _offline(models, home, arguments.quick, rng, bar, partial(keep, "offline"))
        if "server" in parts:
            _server(models, home, arguments.quick, bound_ms, rng, bar, partial(keep, "server"))
        if "search" in parts:
            keep("search", beyond_published(published, arguments.weights, predictor, rng, bar))
    shown = {name: one for name, one in value.items() if name not in PARTS or name in parts}
    print_table(shown, published, out)
    out.print(f"written: {path}; LoadGen's logs beside it", soft_wrap=True)
    return value


def _earlier(path: Path, value: dict[str, Any], out: Console) -> dict[str, Any]:
    """The parts that an earlier start measured under the same conditions. A file of other ones is renamed:
    it may have taken hours."""
    from profiling.machine import describe_difference

    if not path.is_file():
        return {}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        agreed = ("schema_version", "is_quick", "weights", "seed")
        same = all(kept[name] == value[name] for name in agreed)
        if same and not describe_difference(kept["machine"], value["machine"]):
            return {part: kept[part] for part in PARTS if part in kept}
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    names = (path.with_name(f"{path.stem}-{i}{path.suffix}") for i in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    path.rename(aside)
    out.print(f"{path} was measured under other conditions; it is kept as {aside.name}", soft_wrap=True)
    return {}


def _parts(arguments: argparse.Namespace, predictor: Path, out: Console) -> list[str]:
    from supernet.errors import OvnasError, nearest

    if arguments.parts is None:
        if arguments.predictor is not None or predictor.is_dir():
            return list(PARTS)
        out.print(
            f"the search with the MACs of A, B and C is left out, for there is no predictor in {predictor}: "
            f"make one with profiling.collect and predictor.train --study {predictor.parts[-3]}",
            soft_wrap=True,
        )
        return [part for part in PARTS if part != "search"]
    names = [name.strip() for name in arguments.parts.split(",")]
    for name in names:
        if name not in PARTS:
            raise OvnasError(f"--parts: there is no {name!r}{nearest(name, PARTS)}")
    return names


def _build(
    published: dict[str, Published], weights: Path | None, folder: Path, bar: Progress
) -> dict[str, Path]:
    """INT8 files of all networks, sliced from one quantised ResNet-50."""
    import openvino as ov

    from search.beyond import make_graphs
    from search.published import member_of

    task = bar.add_task("building INT8 networks", total=len(published), note="")
    graphs = make_graphs(STUDY, weights)
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, network in published.items():
        path = folder / f"{name}.xml"
        ov.save_model(graphs.model(member_of(graphs.space, network)), path, compress_to_fp16=False)
        found[name] = path
        bar.update(task, advance=1)
    return found


def _offline(
    models: dict[str, Path],
    home: Path,
    is_quick: bool,
    rng: np.random.Generator,
    bar: Progress,
    keep: Callable[[dict[str, Any]], None],
) -> None:
    """Short Offline runs in turn, ratios by round; without `is_quick` also one run a network by the rules."""
    from profiling.machine import default_threads
    from search.interleaved import in_turn, ratio_of
    from search.loadgen import Test, run_performance, run_trials
    from search.measurement import Plan, measure_scenario
    from search.mlperf import new_folder, watcher
    from search.published import BASELINE
    from search.scenario import Arrangement

    # As submitted, by cores: a stream a core, batch 2, twice as many requests.
    n = default_threads()
    arrangement = Arrangement(n, n, 2, 2 * n)
    folder = new_folder(home / "logs", "offline")
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

    value: dict[str, Any] = {
        "arrangement": arrangement.to_json(),
        "rounds": rounds,
        "seconds_a_run": seconds,
        "runs_valid": [sum(map(sum, valid.values())), rounds * len(models)],
        "samples_per_s": found,
        "ratios": {name: ratio(name) for name in models},
        "log_dir": str(folder),
    }
    keep(value)
    if not is_quick:
        watch = watcher(bar, "Offline by the rules")
        plan = Plan(is_quick=False, arrangement=arrangement)
        own = value["by_the_rules"] = {}
        for name, model in models.items():
            place = folder / f"rules-{name}"
            own[name] = measure_scenario(model, "offline", plan, place, threads=n, watch=watch).to_json()
            keep(value)


def _server(
    models: dict[str, Path],
    home: Path,
    is_quick: bool,
    bound_ms: float | None,
    rng: np.random.Generator,
    bar: Progress,
    keep: Callable[[dict[str, Any]], None],
) -> None:
    """The highest valid rate of each network, one search each, in a random order."""
    import math

    from profiling.machine import default_threads
    from search.loadgen import Test, run_trials
    from search.measurement import Plan, measure_scenario
    from search.mlperf import new_folder, watcher
    from search.published import BASELINE
    from search.scenario import SCENARIOS, candidates
    from supernet.errors import OvnasError

    n = default_threads()
    folder = new_folder(home / "logs", "server")
    watch = watcher(bar, "Server")
    wanted = tuple(candidates(SCENARIOS["server"], n))
    first = Test(models[BASELINE], "server", wanted[0], folder / "trial", trials=wanted)
    latency_ms = min(t.latency_ms for t in run_trials(first, lambda s: watch("trial", s, 10.0)))
    bound, reason = bound_ms, "as asked for"
    if bound is None:
        needed = BOUND_OVER_LATENCY * latency_ms
        bound, reason = SERVER_BOUND_MS, "the rule"
        if needed > bound:
            bound = 5.0 * math.ceil(needed / 5.0)
            reason = (
                f"one inference of ResNet-50 alone takes {latency_ms:.1f} ms here (4.8 ms on a stream of the "
                f"submission's machine), so that 15 ms leave no room for a queue; the bound is "
                f"{BOUND_OVER_LATENCY:g} times that, as there"
            )
    found: dict[str, Any] = {}

    def ratio(name: str) -> float | None:
        """Only of rates that LoadGen calls valid."""
        if any(found.get(one, {}).get("verdict") != "VALID" for one in (name, BASELINE)):
            return None
        return float(found[name]["value"] / found[BASELINE]["value"])

    for place in rng.permutation(len(models)):
        name = list(models)[place]
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
                "ratios": {name: {"value": ratio(name), "interval": [None, None]} for name in models},
                "log_dir": str(folder),
            }
        )


if __name__ == "__main__":
    sys.exit(main())
