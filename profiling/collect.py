"""`python -m profiling.collect`: measures sub-networks and their kernels on this machine."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from profiling.beginning import set_up, warn_of_unfit
from profiling.repeats import repeat, repeat_in_fresh_process, to_repeat
from supernet import cli
from supernet.errors import OvnasError
from supernet.study import Study


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(
        "profiling.collect", "Measure INT8 sub-networks of a study, end to end and kernel by kernel."
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--budget", metavar="TIME|N", help="of this run ('5m') or networks in all ('200')")
    what.add_argument(
        "--merge",
        type=Path,
        metavar="FILE",
        help="join the measurements of FILE, made under equal conditions",
    )
    parser.add_argument("--repeat", type=int, metavar="DESCRIPTOR", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    command = repeat if arguments.repeat is not None else collect if arguments.merge is None else merge
    return cli.run(command, arguments)


def store_path(study: Study, runs_dir: Path) -> Path:
    """Where a study's measurements are kept."""
    return runs_dir / study.name / "profiling" / "measurements.sqlite"


def collect(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures until the budget is used, then a share again in a fresh process; returns a summary."""
    import numpy as np

    from profiling.budget import Budget
    from profiling.campaign import measure
    from profiling.lock import measuring
    from profiling.machine import read_machine, read_target
    from profiling.store import Store
    from profiling.summary import print_summary, summarise

    start = time.monotonic()
    study = Study.load(arguments.study)
    budget = Budget.parse(arguments.budget or study.profiling.budget)
    out = cli.console(arguments)
    path = store_path(study, arguments.runs_dir)
    rng = np.random.default_rng(arguments.seed)
    with measuring() as lock:
        is_new = not path.exists()
        if not is_new:  # refuse it before the work, not after
            with Store.open(path) as store:
                store.require(read_machine(), read_target(study.target))
        unfit = warn_of_unfit(study, out)
        bench, meta = set_up(study, out, is_new=is_new)
        with Store.create_or_open(path, meta) as store:
            measure(bench, store, budget, start, rng, out)
            is_complete = not to_repeat(store.records())
        peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        if not is_complete:
            repeat_in_fresh_process(arguments, lock)
    with Store.open(path) as store:
        summary = summarise(store)
    print_summary(summary, out)
    return {
        **summary,
        "unfit": [asdict(finding) for finding in unfit],
        "peak_memory_gib": round(peak_gib, 2),
        "seconds": round(time.monotonic() - start, 1),
    }


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
        own = Store.open(path, is_written=True) if path.is_file() else Store.create_or_open(path, other.meta)
        with own as store:
            n_new, n_now = store.merge(other), len(store.architectures())
        n_there = len(other.architectures())
    out.print(f"{n_new} of {n_there} networks joined, {n_there - n_new} were here already; {n_now} in {path}")
    return {"study": study.name, "file": str(path), "joined": n_new, "networks": n_now}


if __name__ == "__main__":
    sys.exit(main())
