"""`python -m profiling.collect`: measures sub-networks and their kernels on this machine."""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet import cli
from supernet.errors import OvnasError
from supernet.study import Study

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from profiling.preparation import Bench
    from profiling.store import NetworkRecord, Store
    from supernet.architecture import Architecture

# Networks resident together.
BLOCK = 8
CALIBRATION_SAMPLES = 8
REPEAT_SHARE = 0.15
MIN_REPEATS, MAX_REPEATS = 8, 30


@dataclass(frozen=True)
class Budget:
    """Seconds or networks, one of them."""

    seconds: float | None
    networks: int | None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Reads "90s", "5m", "1h" or "200". Raises OvnasError for anything else."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", text.strip())
        if match is None or float(match[1]) <= 0 or (match[2] is None and "." in match[1]):
            raise OvnasError(f"a budget is a time like '90s', '5m' or a number of networks, got {text!r}")
        if match[2] is None:
            return cls(None, int(match[1]))
        return cls(float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]], None)

    def next_block(self, n_measured: int) -> int:
        """How many networks to measure next, if `n_measured` are."""
        return BLOCK if self.networks is None else max(0, min(BLOCK, self.networks - n_measured))


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(
        "profiling.collect", "Measure INT8 sub-networks of a study, end to end and kernel by kernel."
    )
    parser.add_argument("--budget", metavar="TIME|N", help="time in all ('5m') or networks in all ('200')")
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
        bench, meta = _set_up(study, out, is_new=is_new)
        with Store.create_or_open(path, meta) as store:
            n_unplanned = _measure(bench, store, budget, start, rng, out)
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    _repeat_in_fresh_process(study, arguments, out)
    with Store.open(path) as store:
        summary = _summary(store.records(), study, path, n_unplanned, out)
    return {**summary, "peak_memory_gib": round(peak_gib, 2), "seconds": round(time.monotonic() - start, 1)}


def merge(arguments: argparse.Namespace) -> dict[str, Any]:
    """Joins the networks of another file that are not in this study's yet; returns a summary."""
    from profiling.store import Store

    study = Study.load(arguments.study)
    out = cli.console(arguments)
    path = store_path(study, arguments.runs_dir)
    with Store.open(arguments.merge) as other, Store.create_or_open(path, other.meta) as store:
        if other.path.resolve() == path.resolve():
            raise OvnasError(f"{path} cannot be merged with itself")
        n_there = len(other.architectures())
        n_new = store.merge(other)
        n_now = len(store.architectures())
    out.print(f"{n_new} of {n_there} networks joined, {n_there - n_new} were here already; {n_now} in {path}")
    return {"study": study.name, "file": str(path), "joined": n_new, "networks": n_now}


def repeat(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures a share of the networks of an existing file again, in this process."""
    import numpy as np

    from profiling.lock import measuring
    from profiling.store import Store
    from profiling.timing import interleave

    study = Study.load(arguments.study)
    out = cli.console(arguments)
    rng = np.random.default_rng([arguments.seed, 1])
    path = store_path(study, arguments.runs_dir)
    with measuring():
        bench, meta = _set_up(study, out, is_new=False)
        with Store.create_or_open(path, meta) as store, cli.progress(out) as bar:
            chosen = _to_repeat(store.records())
            anchor = bench.anchor()
            task = bar.add_task("measuring again", total=len(chosen), note="")
            for start in range(0, len(chosen), BLOCK):
                block = chosen[start : start + BLOCK]
                rounds = interleave([bench.timer(a) for a in block], anchor, rng, level=store.level)
                for architecture, own in zip(block, rounds, strict=True):
                    store.add_repeat(architecture, own)
                bar.update(task, advance=len(block))
    return {"study": study.name, "repeated": len(chosen)}


def _set_up(study: Study, out: Console, *, is_new: bool) -> tuple[Bench, dict[str, Any]]:
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
    meta = {
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
    """Block by block until the budget is used. Returns in how many networks the plan was wrong."""
    from profiling.coverage import Chooser
    from profiling.timing import interleave, ratio

    measured = [(n.architecture, ratio(n.rounds, store.level)) for n in store.networks()]
    chooser = Chooser(bench.plan.space, rng, [architecture for architecture, _ in measured])
    n_before, n_unplanned = len(measured), 0
    begin = time.monotonic()
    with cli.progress(out) as bar:
        total = budget.networks or int(budget.seconds or 0)
        done = n_before if budget.networks else int(begin - start)
        task = bar.add_task("measuring", total=total, completed=done, note="")
        anchor = bench.anchor()
        while chosen := chooser.next(budget.next_block(len(measured)), measured):
            prepared = [bench.prepare(architecture) for architecture, _ in chosen]
            rounds = interleave([p.timer for p in prepared], anchor, rng, level=store.level)
            for item, own, (architecture, reason) in zip(prepared, rounds, chosen, strict=True):
                store.add(architecture, own, item.kernels, item.prepare_s, reason)
                n_unplanned += not item.is_planned
                measured.append((architecture, ratio(own, store.level)))
            now = time.monotonic()
            shown = len(measured) if budget.networks else min(total, int(now - start))
            bar.update(task, completed=shown, note=f"{len(measured)} networks")
            n_new = len(measured) - n_before
            if budget.seconds is not None and _is_used_up(budget.seconds, start, begin, now, n_before, n_new):
                break
    return n_unplanned


def _is_used_up(seconds: float, start: float, begin: float, now: float, n_before: int, n_new: int) -> bool:
    """Whether another block and the repeats would overrun the time."""
    each = (now - begin) / n_new
    repeats = n_to_repeat(n_before + n_new) * each * 0.7 + (begin - start) * 1.2
    return now - start + BLOCK * each + repeats > seconds


def n_to_repeat(n_networks: int) -> int:
    """How many of the networks are measured in a second process for the ceiling."""
    return min(n_networks, max(MIN_REPEATS, min(MAX_REPEATS, round(REPEAT_SHARE * n_networks))))


def _to_repeat(records: list[NetworkRecord]) -> list[Architecture]:
    """What is still to be measured in a second process, spread evenly over the order of latency."""
    import math

    import numpy as np

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
        out.print("warning: this machine is noisy; no predictor can be better than its ceiling")
    if n_unplanned:
        out.print(f"warning: {n_unplanned} networks execute other kernels than planned")
    return {
        "study": study.name,
        "file": str(path),
        "networks": len(records),
        "kernels": n_kernels,
        "ceiling": ceiling,
        "flagged_rounds": flagged,
        "counters_difference": float(np.mean(difference)),
        "unplanned_networks": n_unplanned,
        "unexplained": float(np.mean(unexplained)),
        "prepare_s": float(np.median([r.prepare_s for r in records])),
    }


if __name__ == "__main__":
    sys.exit(main())
