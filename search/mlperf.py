"""`python -m search.mlperf`: a model file in a scenario of MLPerf Inference, by the real LoadGen."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.scenario import SCENARIOS, SERVER_BOUND_MS
from supernet import cli
from supernet.quantities import parse_latency
from supernet.study import Study

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from search.measurement import Measurement, Watch

__all__ = ["accuracy_of", "measure_finalists", "new_folder", "watcher"]

QUICK = "quick run: not valid for a submission"
# Of what the streams can do: so busy a server keeps up.
SERVER_LOAD = 0.7


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(
        "search.mlperf",
        "Run a model in a scenario of MLPerf Inference with LoadGen (ResNet-50's rules, open division).",
    )
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="an OpenVINO .xml file")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="offline")
    parser.add_argument(
        "--quick", action="store_true", help="seconds in place of the rules' 10 minutes: not for a submission"
    )
    parser.add_argument(
        "--accuracy", action="store_true", help="top-1 on the test split of --study, in place of speed"
    )
    parser.add_argument(
        "--latency-bound", metavar="TIME",
        help="of the server scenario's 99th percentile (default: 15ms, the rule for ResNet-50)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where LoadGen's logs go (default: RUNS_DIR/mlperf/...)"
    )
    return cli.run(mlperf, parser.parse_args(argv))


def mlperf(arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs the test, prints LoadGen's own verdict, keeps its logs; returns the result."""
    from profiling.lock import measuring
    from profiling.machine import default_threads, read_machine
    from search.loadgen import require_loadgen
    from search.measurement import Plan, measure_scenario
    from supernet.errors import OvnasError
    from supernet.whole_files import write_json

    model: Path = arguments.model
    bound_ms = (
        SERVER_BOUND_MS
        if arguments.latency_bound is None
        else parse_latency(arguments.latency_bound, "--latency-bound") / 1e3
    )
    if arguments.accuracy and (arguments.quick or arguments.latency_bound):
        raise OvnasError("--accuracy judges the whole test split; leave --quick and --latency-bound out")
    if arguments.latency_bound and arguments.scenario != "server":
        raise OvnasError("--latency-bound is of --scenario server; leave it out")
    require_loadgen()
    if not model.is_file():
        raise OvnasError(f"there is no model file {model}")
    out = cli.console(arguments)
    home = arguments.out or arguments.runs_dir / "mlperf" / model.stem
    folder = new_folder(home, f"{arguments.scenario}{'-accuracy' if arguments.accuracy else ''}")
    value: dict[str, Any]
    with measuring(), cli.progress(out) as bar:
        watch = watcher(bar, arguments.scenario)
        if arguments.accuracy:
            study = Study.load(arguments.study)
            _require_its_own(model, study)
            top1, n = accuracy_of(model, arguments.scenario, arguments.study, folder, watch=watch)
            value = {"study": study.name, "scenario": arguments.scenario, "top1": top1, "n_samples": n}
        else:
            plan = Plan(arguments.quick, bound_ms)
            found = measure_scenario(
                model, arguments.scenario, plan, folder, threads=default_threads(), watch=watch
            )
            value = found.to_json()
    value = {"model": str(model), "machine": read_machine(), "log_dir": str(folder), **value}
    write_json(value, folder / "result.json")
    if arguments.accuracy:
        out.print(f"{model}: top-1 {value['top1']:.4%} of {value['n_samples']} samples, answered to LoadGen")
    else:
        _print(found, model, out)
    out.print(f"logs: {value['log_dir']}", soft_wrap=True)
    return value


def accuracy_of(
    model: Path, scenario: str, study: str, folder: Path, *, watch: Watch = lambda what, seconds, total: None
) -> tuple[float, int]:
    """Top-1 of a model on a study's test split, all of it answered to LoadGen in AccuracyOnly mode, and the
    number of samples. `study` is a name or a file."""
    import dataclasses

    import numpy as np

    from profiling.machine import default_threads
    from search.loadgen import Test, run_accuracy, run_trials
    from search.loadgen_log import read_predictions
    from search.scenario import candidates
    from supernet.data import load_splits

    images = load_splits(Study.load(study)).test
    arrangement = candidates(SCENARIOS[scenario], default_threads())[0]
    test = Test(model, scenario, arrangement, folder, study=_absolute(study))
    # The Server scenario sends its queries at a rate, however few they are.
    trial = dataclasses.replace(test, folder=folder / "trial", trials=(arrangement,))
    rate = SERVER_LOAD * run_trials(trial, lambda s: watch("trial", s, 5.0))[0].rate
    expected_s = len(images) / rate  # type: ignore[arg-type]
    n = run_accuracy(dataclasses.replace(test, rate=rate), lambda s: watch("accuracy", s, 4.0 + expected_s))
    labels = np.array([int(images[i][1]) for i in range(n)])
    return float(np.mean(read_predictions(folder, n) == labels)), n


def measure_finalists(
    networks: Sequence[tuple[str, Path]],
    scenarios: Sequence[str],
    folder: Path,
    bar: Progress,
    *,
    is_quick: bool,
    bound_ms: float = SERVER_BOUND_MS,
    on_row: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
) -> list[dict[str, Any]]:
    """Each network, given by its name and .xml file, in each scenario: search.json's "mlperf". `on_row` is
    told what there is after each of them.

    A test that fails, such as a Server bound that a network cannot meet, makes a row with verdict INVALID,
    no value and the reason: what else was measured is not lost. After an interruption the same call goes on
    with what is missing. The caller holds the measuring lock. Raises OvnasError if LoadGen is not installed,
    or for an unknown scenario.
    """
    from profiling.machine import default_threads, read_machine
    from search.loadgen import require_loadgen
    from search.measurement import Plan, measure_scenario
    from search.unfinished import UnfinishedRows
    from supernet.errors import OvnasError, nearest

    require_loadgen()
    for scenario in scenarios:
        if scenario not in SCENARIOS:
            raise OvnasError(f"there is no scenario {scenario!r}{nearest(scenario, SCENARIOS)}")
    plan, threads = Plan(is_quick, bound_ms), default_threads()
    unfinished = UnfinishedRows(folder / "unfinished.json", [is_quick, bound_ms, threads], read_machine())
    rows = []
    for scenario, (name, model) in itertools.product(scenarios, networks):
        head = {"network": name, "scenario": scenario}
        known = unfinished.known(model, scenario)
        if known is not None:
            bar.console.print(f"{name}, {scenario}: taken from an interrupted start, {known['log_dir']}")
            rows.append({**known, **head})
            on_row(rows)
            continue
        place = new_folder(folder / name.replace(" ", "-"), scenario)
        watch = watcher(bar, f"{name}, {scenario}")
        try:
            found = measure_scenario(model, scenario, plan, place, threads=threads, watch=watch)
        except OvnasError as error:
            rows.append(
                {**head, "metric": SCENARIOS[scenario].metric, "value": None, "verdict": "INVALID",
                 "is_quick": is_quick, "log_dir": str(place), "reason": str(error)}
            )  # fmt: skip
        else:
            rows.append({**head, **found.to_json()})
            unfinished.add(model, scenario, rows[-1])
        on_row(rows)
    unfinished.finish()
    return rows


def _require_its_own(model: Path, study: Study) -> None:
    """Raises OvnasError where the card beside a model is of another study: its accuracy on these images would
    mean nothing."""
    import json

    from search.card import CARD
    from supernet.errors import OvnasError

    try:
        theirs = json.loads((model.parent / CARD).read_text(encoding="utf-8"))["study"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # not made by a search
    if theirs != study.name:
        raise OvnasError(f"{model} is of study {theirs!r}, not of {study.name!r}; give it with --study")


def _absolute(study: str) -> str:
    return str(Path(study).resolve()) if study.endswith(".toml") else study


def new_folder(home: Path, name: str) -> Path:
    """`home/name-N` with the lowest N that is free: earlier logs stay."""
    for i in itertools.count(1):
        folder = home / f"{name}-{i}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError


def watcher(bar: Progress, title: str) -> Watch:
    task = bar.add_task(title, total=None, note="")
    last = [""]

    def watch(what: str, seconds: float, total: float) -> None:
        if what != last[0]:
            last[0] = what
            bar.reset(task)
        shown = max(total, seconds)
        bar.update(task, total=round(shown), completed=round(seconds), note=what)

    return watch


def _print(found: Measurement, model: Path, out: Console) -> None:
    summary = found.summary
    title = f"{model.name}, {found.scenario}"
    rows = [[found.metric, f"{summary.value:.3f}"], ["LoadGen's verdict", summary.verdict]]
    rows += [[name, "yes" if passed else "NO"] for name, passed in summary.checks.items()]
    rows += [[f"{p:g}th percentile, ms", f"{ms:.3f}"] for p, ms in summary.percentiles_ms.items()]
    if found.bound_ms is not None:
        rows.append(["bound of the 99th percentile, ms", f"{found.bound_ms:g}"])
        if found.bound_ms != SERVER_BOUND_MS:
            title += f" (bound of {found.bound_ms:g} ms; the rule is {SERVER_BOUND_MS:g} ms)"
    rows.append(["arrangement", str(found.arrangement)])
    cli.print_table(out, f"{title}{f' ({QUICK})' if found.is_quick else ''}", ("", ""), rows)
    if not summary.is_valid:
        out.print(f"INVALID: not met: {', '.join(summary.failed()) or 'see the log'}")
    if found.is_quick:
        out.print(f"{QUICK}; the rules ask for 10 minutes: leave out --quick", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
