"""`python -m profiling.collect`: measures sub-networks and their kernels on this machine."""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet import cli
from supernet.errors import OvnasError
from supernet.study import Study

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from profiling.block import Measured
    from profiling.budget import Budget
    from profiling.preparation import Bench
    from profiling.record import NetworkRecord, Reason
    from profiling.store import Store
    from supernet.architecture import Architecture

CALIBRATION_SAMPLES = 8
# How often a network is measured again whose rounds were mostly flagged.
RETRIES = 1


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(
        "profiling.collect", "Measure INT8 sub-networks of a study, end to end and kernel by kernel."
    )
    parser.add_argument("--budget", metavar="TIME|N", help="of this run ('5m') or networks in all ('200')")
    parser.add_argument(
        "--merge",
        type=Path,
        metavar="FILE",
        help="join the measurements of FILE, made under equal conditions",
    )
    parser.add_argument("--repeat", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    command = repeat if arguments.repeat else collect if arguments.merge is None else merge
    return cli.run(command, arguments)


def store_path(study: Study, runs_dir: Path) -> Path:
    """Where a study's measurements are kept."""
    return runs_dir / study.name / "profiling" / "measurements.sqlite"


def collect(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures until the budget is used, then a share again in a fresh process; returns a summary."""
    import numpy as np

    from profiling.budget import Budget
    from profiling.lock import measuring
    from profiling.machine import read_machine, read_target
    from profiling.store import Store

    start = time.monotonic()
    study = Study.load(arguments.study)
    budget = Budget.parse(arguments.budget or study.profiling.budget)
    out = cli.console(arguments)
    path = store_path(study, arguments.runs_dir)
    rng = np.random.default_rng(arguments.seed)
    with measuring():
        is_new = not path.exists()
        if not is_new:  # refuse it before the work, not after
            with Store.open(path) as store:
                store.require(read_machine(), read_target(study.target))
        bench, meta = set_up(study, out, is_new=is_new)
        with Store.create_or_open(path, meta) as store:
            n_unplanned = _measure(bench, store, budget, start, rng, out)
            is_complete = not _to_repeat(store.records())
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if not is_complete:
        _repeat_in_fresh_process(study, arguments, out)
    with Store.open(path) as store:
        summary = _summary(store.records(), study, path, n_unplanned, out)
    return {**summary, "peak_memory_gib": round(peak_gib, 2), "seconds": round(time.monotonic() - start, 1)}


def merge(arguments: argparse.Namespace) -> dict[str, Any]:
    """Joins the networks of another file that are not in this study's yet; returns a summary."""
    from profiling.lock import measuring
    from profiling.store import Store

    study = Study.load(arguments.study)
    out = cli.console(arguments)
    path = store_path(study, arguments.runs_dir)
    if arguments.merge.resolve() == path.resolve():
        raise OvnasError(f"{path} cannot be merged with itself")
    with measuring(), Store.open(arguments.merge) as other:
        if other.meta["study"] != study.name:
            raise OvnasError(f"{other.path} belongs to study {other.meta['study']!r}, not to {study.name!r}")
        own = Store.open(path) if path.is_file() else Store.create_or_open(path, other.meta)
        with own as store:
            n_new, n_now = store.merge(other), len(store.architectures())
        n_there = len(other.architectures())
    out.print(f"{n_new} of {n_there} networks joined, {n_there - n_new} were here already; {n_now} in {path}")
    return {"study": study.name, "file": str(path), "joined": n_new, "networks": n_now}


def repeat(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures a share of the networks of an existing file again, in this process."""
    import numpy as np

    from profiling.block import even_blocks, time_block
    from profiling.budget import BLOCK
    from profiling.lock import measuring
    from profiling.store import Store

    study = Study.load(arguments.study)
    out = cli.console(arguments)
    rng = np.random.default_rng([arguments.seed, 1])
    path = store_path(study, arguments.runs_dir)
    with measuring():
        bench, meta = set_up(study, out, is_new=False)
        with Store.create_or_open(path, meta) as store, cli.progress(out) as bar:
            chosen = _to_repeat(store.records())
            parent = os.getppid()
            task = bar.add_task("measuring again", total=len(chosen), note="")
            for block in even_blocks(chosen, BLOCK):
                if os.getppid() != parent:  # the collection that asked for this was killed
                    break
                for architecture, rounds in zip(block, time_block(bench, block, rng), strict=True):
                    store.add_repeat(architecture, rounds)
                bar.update(task, advance=len(block))
    return {"study": study.name, "repeated": len(chosen)}


def set_up(study: Study, out: Console, *, is_new: bool) -> tuple[Bench, dict[str, Any]]:
    """The bench for this machine, and what the store must agree with; for a new store, all it begins
    with."""
    import torch

    from profiling.machine import has_vnni, read_machine, read_target
    from profiling.peak import measure_peak
    from profiling.preparation import Bench, measure_overhead_us
    from profiling.properties import effective_properties, tiny_model
    from profiling.target import compile_model
    from supernet.checkpoint import example_input, make_network
    from supernet.sliced import SlicedGraphs

    machine, target = read_machine(), read_target(study.target)
    if not has_vnni(machine):
        out.print(
            "warning: this CPU has no VNNI: INT8 may be no faster than FP32 here, and its sums may saturate; "
            "see python -m profiling.machine"
        )
    with out.status("converting and quantising the maximal network"):
        network = make_network(study)
        example = example_input(study, batch=target["batch"])
        generator = torch.Generator().manual_seed(0)
        n = CALIBRATION_SAMPLES * target["batch"]
        samples = torch.randn(n, *study.model.input_shape, generator=generator)
        bench = Bench(SlicedGraphs(network, example, samples), target)
    meta: dict[str, Any] = {
        "study": study.name,
        "machine": machine,
        "properties": effective_properties(compile_model(tiny_model(), target)),
        "target": target,
        "plan": bench.plan.to_json(),
    }
    if is_new:
        meta |= {"peak": measure_peak(target), "overhead_us": measure_overhead_us(target)}
    return bench, meta


def _measure(
    bench: Bench, store: Store, budget: Budget, start: float, rng: np.random.Generator, out: Console
) -> int:
    """Block by block until the budget is used. Returns in how many networks the plan was wrong.

    A network that was disturbed waits for the next block and is measured again.
    """
    from profiling.block import is_disturbed, measure_block
    from profiling.budget import Spent
    from profiling.coverage import Chooser
    from profiling.timing import ratio

    measured = [(n.architecture, ratio(n.rounds, store.level)) for n in store.networks()]
    chooser = Chooser(bench.plan.space, rng, [architecture for architecture, _ in measured])
    n_before, n_unplanned = len(measured), 0
    waiting: dict[Architecture, tuple[Reason, Measured]] = {}
    tries: Counter[Architecture] = Counter()

    def keep(reason: Reason, one: Measured) -> None:
        store.add(one.architecture, one.rounds, one.kernels, one.prepare_s, reason)
        measured.append((one.architecture, ratio(one.rounds, store.level)))

    begin = now = time.monotonic()
    with cli.progress(out) as bar:
        total = budget.networks or int(budget.seconds or 0)
        done = n_before if budget.networks else int(begin - start)
        task = bar.add_task("measuring", total=total, completed=done, note="")
        while True:
            spent = Spent(begin - start, now - begin, tries.total())
            n = budget.next_block(len(measured), spent)
            chosen = {a: reason for a, (reason, _) in itertools.islice(waiting.items(), n)}
            chosen |= chooser.next(n - len(chosen), measured)
            if not chosen:
                if n and budget.networks:
                    out.print(
                        f"the space has no more networks: {len(measured)} of {budget.networks} asked for"
                    )
                break
            for one in measure_block(bench, list(chosen), rng):
                architecture = one.architecture
                tries[architecture] += 1
                n_unplanned += tries[architecture] == 1 and not one.is_planned
                if is_disturbed(one.rounds) and tries[architecture] <= RETRIES:
                    waiting[architecture] = (chosen[architecture], one)
                else:
                    waiting.pop(architecture, None)
                    keep(chosen[architecture], one)
            now = time.monotonic()
            shown = len(measured) if budget.networks else min(total, int(now - start))
            bar.update(task, completed=shown, note=f"{len(measured)} networks")
        for reason, one in waiting.values():  # no budget is left to measure them again
            keep(reason, one)
    return n_unplanned


def _to_repeat(records: list[NetworkRecord]) -> list[Architecture]:
    """What is still to be measured in a second process, spread evenly over the order of latency."""
    import math

    import numpy as np

    from profiling.budget import n_to_repeat

    ranked = sorted((r for r in records if math.isnan(r.repeat_us)), key=lambda r: r.latency_us)
    n = n_to_repeat(len(records)) - (len(records) - len(ranked))
    picks = np.unique(np.linspace(0, len(ranked) - 1, max(0, n)).round().astype(int))
    return [ranked[int(i)].architecture for i in picks]


def _repeat_in_fresh_process(study: Study, arguments: argparse.Namespace, out: Console) -> None:
    command = [sys.executable, "-m", "profiling.collect", "--repeat", "--study", arguments.study]
    command += ["--runs-dir", str(arguments.runs_dir), "--seed", str(arguments.seed)]
    if arguments.json:
        command.append("--json")
    result = subprocess.run(command, stdout=subprocess.DEVNULL if arguments.json else None, check=False)
    if result.returncode != 0:
        raise OvnasError("measuring again in a fresh process failed; what was collected is kept")


def _summary(
    records: list[NetworkRecord],
    study: Study,
    path: Path,
    n_unplanned: int,
    out: Console,
) -> dict[str, Any]:
    import numpy as np

    from profiling.ceiling import ceiling_of

    n_kernels = sum(len(r.kernels) for r in records)
    ceiling = ceiling_of(records)
    difference = [r.counters_us / (r.latency_us - r.overhead_us) - 1 for r in records]
    unexplained = [r.unexplained_us / r.latency_us for r in records]
    flagged = sum(r.n_flagged for r in records) / max(1, sum(r.n_rounds for r in records))
    latencies = [r.latency_us for r in records]
    out.print(
        f"{len(records)} networks ({min(latencies) / 1e3:.2f} to {max(latencies) / 1e3:.2f} ms), "
        f"{n_kernels} kernels in {path}"
    )
    found = "too few for a ceiling"
    if ceiling["mape"] is not None:
        found = f"differ by {ceiling['mape']:.2%}, Kendall tau {ceiling['kendall_tau']:.3f}"
    out.print(
        f"ceiling (two processes, {ceiling['networks']} networks): {found}; rounds flagged {flagged:.1%}; "
        f"counters {np.mean(difference):+.1%} beside end to end, {-np.mean(unexplained):+.1%} once corrected"
    )
    if ceiling["mape"] is not None and ceiling["mape"] > 0.02:
        out.print(
            "warning: this machine is noisy; networks that are closer than its ceiling cannot be told apart"
        )
    disturbed = sum(2 * r.n_flagged > r.n_rounds for r in records)
    if disturbed:
        out.print(
            f"warning: {disturbed} networks were disturbed in most of their rounds; what keeps this machine "
            "busy: python -m profiling.machine"
        )
    if n_unplanned:
        out.print(f"warning: {n_unplanned} networks execute other kernels than planned")
    return {
        "study": study.name,
        "file": str(path),
        "networks": len(records),
        "kernels": n_kernels,
        "ceiling": ceiling,
        "flagged_rounds": flagged,
        "disturbed_networks": disturbed,
        "counters_difference": float(np.mean(difference)),
        "unplanned_networks": n_unplanned,
        "unexplained": float(np.mean(unexplained)),
        "prepare_s": float(np.median([r.prepare_s for r in records])),
    }


if __name__ == "__main__":
    sys.exit(main())
