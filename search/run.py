"""`python -m search.run`: searches a space, builds the finalists and measures them."""

from __future__ import annotations

import argparse
import functools
import shlex
import shutil
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.settings import MEASURE, Settings, add_options
from supernet import cli
from supernet.study import Study

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from rich.console import Console

    from profiling.preparation import Bench
    from profiling.target import Target
    from search.finalists import Built
    from search.latency import LatencySource
    from search.material import Material
    from search.problem import Problem
    from search.quality import Quality
    from search.result import Finalist
    from search.rounds import Workshop
    from search.witnesses import Witness
    from supernet.architecture import Architecture


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(
        "search.run", "Search a study's space for fast INT8 sub-networks, and measure the finalists."
    )
    add_options(parser)
    arguments = parser.parse_args(argv)
    given = sys.argv[1:] if argv is None else argv
    arguments.command = shlex.join(["python", "-m", "search.run", *given])
    return cli.run(search, arguments)


def search(arguments: argparse.Namespace) -> dict[str, Any]:
    """Writes candidates.csv, front.csv, search.json, report.html and the finalists' files; returns
    search.json's value. Raises OvnasError, once all that is written, where no finalist keeps to the
    constraints."""
    from profiling.beginning import set_up, warn_of_unfit
    from profiling.lock import measuring
    from profiling.machine import read_machine, read_target
    from search.algorithms.registry import make_algorithm
    from search.files import search_value, write_search
    from search.finalists import build
    from search.loadgen import require_loadgen
    from search.material import load_material
    from search.refresh import give_back, refreshed
    from search.rounds import Workshop, run_round
    from search.sources import measured_source, predicted_source
    from supernet.alone import alone_in
    from supernet.errors import OvnasError

    start = time.monotonic()
    study = Study.load(arguments.study)
    settings = Settings.of(study, arguments)
    out = cli.console(arguments)
    with measuring():
        pass  # another one's measurement is noticed now, not after the search
    if settings.mlperf:
        require_loadgen()
    is_in_loop = settings.predictor == MEASURE
    folder: Path = arguments.runs_dir / study.name / "search"
    machine, target = read_machine(), read_target(study.target)
    source: LatencySource | None = None
    if not is_in_loop:
        source = predicted_source(study, arguments, settings, machine, target)
    material, quality = load_material(study, arguments.runs_dir, target, folder / "evaluations.sqlite")
    if source is not None and source.space != material.network.space:
        raise OvnasError("the predictor was trained for another space; collect and train again")
    for architecture in settings.also:
        material.network.space.encode(architecture)  # raises for one that is no member
    make_algorithm(settings.algorithm).require(material.network.space, settings.budget)
    warn_of_unfit(study, out)
    if target["mode"] == "latency" and "throughput" in [one.name for one in settings.objectives]:
        out.print(
            "note: [target] is of one inference at a time, so that the objective throughput is that of one "
            'stream; mode = "throughput" is that of all',
            soft_wrap=True,
        )
    with alone_in(folder), measuring() if is_in_loop else nullcontext():
        partial = folder / "finalists.partial"  # an earlier search's files stay until this one is done
        shutil.rmtree(partial, ignore_errors=True)
        if source is None:
            source = measured_source(study, settings, folder, out)
        with out.status("building the baseline"):
            baseline = build(material, None, partial / "baseline", target)
        lock = nullcontext if is_in_loop else measuring
        bench = functools.cache(functools.partial(set_up, study, out, is_new=False))
        workshop = Workshop(
            settings, material, quality, target, baseline,
            _baseline_quality(settings, material, quality),
            _baseline_now_us(settings, baseline, target, lock, out), partial, lock,
            _finetuner(arguments, settings, material, out), bench,
            _witnesses(study, arguments, bench, out), out,
        )  # fmt: skip
        problem, finalists = run_round(workshop, source, [], [], 1)
        n_predicted = problem.n_predicted
        try:
            for number in range(2, settings.rounds + 1):
                newer = refreshed(study, arguments, workshop, source, finalists, number - 1)
                if newer is None:
                    break
                earlier = list(problem.candidates.values())
                problem, more = run_round(workshop, newer, finalists, earlier, number)
                source, n_predicted = newer, n_predicted + problem.n_predicted
                finalists += more
        finally:  # an interrupted round leaves those before it
            value = search_value(
                study, arguments, workshop, source, problem, finalists, n_predicted, folder, machine
            )
            value["seconds"] = round(time.monotonic() - start, 1)
            write_search(value, workshop, problem, finalists, folder)
        give_back(study, arguments, workshop, source, finalists)
        if settings.mlperf:  # may take hours: each figure is on disk at once

            def keep(rows: list[dict[str, Any]]) -> None:
                value["mlperf"] = rows
                value["seconds"] = round(time.monotonic() - start, 1)
                write_search(value, workshop, problem, finalists, folder)

            _mlperf(value, workshop, folder, keep)
    _report(value, out, folder)
    _require_feasible(value, arguments, workshop, problem, finalists, folder)
    return value


def _finetuner(
    arguments: argparse.Namespace, settings: Settings, material: Material, out: Console
) -> Callable[[Sequence[Architecture]], None]:
    """What is done to finalists before they are built."""
    from search.finetuning import finetune_missing

    def finetune(architectures: Sequence[Architecture]) -> None:
        if settings.finetune_epochs:
            finetune_missing(arguments, material, architectures, settings.finetune_epochs, out)

    return finetune


def _witnesses(
    study: Study,
    arguments: argparse.Namespace,
    bench: Callable[[], tuple[Bench, dict[str, Any]]],
    out: Console,
) -> Callable[[LatencySource], Sequence[Witness]]:
    """What is measured again beside finalists, where predictions stand on what was profiled."""
    from search.witnesses import call_witnesses
    from supernet.errors import OvnasError

    def witnesses(source: LatencySource) -> Sequence[Witness]:
        if not source.is_known:
            return ()
        try:
            return call_witnesses(study, arguments.runs_dir, source, bench)
        except OvnasError as error:
            out.print(f"note: the anchor alone says how fast the machine is now: {error}", soft_wrap=True)
            return ()

    return witnesses


def _baseline_quality(settings: Settings, material: Material, quality: Quality) -> float | None:
    """The pre-trained model's accuracy on the images that the search judges on, where a limit needs it."""
    from search.quality import ValidationAccuracy

    if settings.constraints.max_accuracy_drop is None or not isinstance(quality, ValidationAccuracy):
        return None
    return quality.of_pretrained(material.pretrained)


def _baseline_now_us(
    settings: Settings,
    baseline: Built,
    target: Target,
    lock: Callable[[], AbstractContextManager[object]],
    out: Console,
) -> float | None:
    """The INT8 baseline's latency at the machine's present speed, where a limit in milliseconds needs it."""
    import numpy as np

    from search.comparison import compare

    if settings.constraints.max_latency_us is None:
        return None
    rng = np.random.default_rng([settings.seed, 0])
    with lock(), out.status("measuring the baseline"):
        return compare(baseline.exported.model, [], target, rng)[0]


def _mlperf(
    value: dict[str, Any],
    workshop: Workshop,
    folder: Path,
    keep: Callable[[list[dict[str, Any]]], None],
) -> None:
    """LoadGen's figures of the baseline and the finalists of a search.json value, one after the other."""
    from search.mlperf import measure_finalists

    built = {"baseline": value["baseline"]}
    built |= {f"finalist {i}": one for i, one in enumerate(value["finalists"], 1)}
    networks = [(name, Path(one["files"]["ir"])) for name, one in built.items()]
    settings = workshop.settings
    with workshop.lock(), cli.progress(workshop.out) as bar:
        measure_finalists(
            networks, settings.mlperf, folder / "mlperf", bar,
            is_quick=settings.is_quick, bound_ms=settings.bound_ms, on_row=keep,
        )  # fmt: skip


def _report(value: dict[str, Any], out: Console, folder: Path) -> None:
    from search.table import print_summary

    print_summary(value, out)
    out.print(f"report: {folder / 'report.html'}", soft_wrap=True)


def _require_feasible(
    value: dict[str, Any],
    arguments: argparse.Namespace,
    workshop: Workshop,
    problem: Problem,
    finalists: list[Finalist],
    folder: Path,
) -> None:
    """Raises OvnasError with the nearest one where no finalist keeps to the constraints."""
    import json

    from search.result import nearest_of
    from supernet.errors import OvnasError

    if any(one["is_feasible"] for one in value["finalists"]):
        return
    constraints = workshop.settings.constraints
    i = nearest_of(finalists, workshop.baseline, constraints)
    one = value["finalists"][i]
    if arguments.json:
        print(json.dumps(value, indent=2))
    what = (
        "no finalist keeps, measured, to"
        if problem.has_feasible
        else f"none of {len(problem.candidates)} architectures seen keeps to"
    )
    raise OvnasError(
        f"{what} {constraints.options}; the nearest is {one['architecture']} "
        f"({'; '.join(one['violations'])}); files are in {folder}"
    )


if __name__ == "__main__":
    sys.exit(main())
