"""The second process: a share of the networks is measured again, for the ceiling."""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from profiling.beginning import set_up
from supernet import cli
from supernet.errors import OvnasError
from supernet.study import Study

if TYPE_CHECKING:
    from profiling.record import NetworkRecord
    from supernet.architecture import Architecture

__all__ = ["repeat", "repeat_in_fresh_process", "to_repeat"]


def repeat(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures a share of the networks of an existing file again, in this process, under the lock of the
    process that started it."""
    import numpy as np

    from profiling.block import even_blocks, time_block
    from profiling.collect import store_path
    from profiling.lock import handed_down
    from profiling.store import Store

    study = Study.load(arguments.study)
    out = cli.console(arguments)
    rng = np.random.default_rng([arguments.seed, 1])
    path = store_path(study, arguments.runs_dir)
    with handed_down(arguments.repeat):
        bench, meta = set_up(study, out, is_new=False)
        with Store.create_or_open(path, meta) as store, cli.progress(out) as bar:
            chosen = to_repeat(store.records())
            parent = os.getppid()
            task = bar.add_task("measuring again", total=len(chosen), note="")
            for block in even_blocks(chosen, bench.room()):
                if os.getppid() != parent:  # the collection that asked for this was killed
                    break
                for architecture, rounds in zip(block, time_block(bench, block, rng), strict=True):
                    store.add_repeat(architecture, rounds)
                bar.update(task, advance=len(block))
    return {"study": study.name, "repeated": len(chosen)}


def to_repeat(records: list[NetworkRecord]) -> list[Architecture]:
    """What is still to be measured in a second process, spread evenly over the order of latency."""
    from profiling.budget import n_to_repeat
    from supernet.spread import evenly_spread

    ranked = sorted((r for r in records if math.isnan(r.repeat_us)), key=lambda r: r.latency_us)
    n = n_to_repeat(len(records)) - (len(records) - len(ranked))
    return [ranked[i].architecture for i in evenly_spread(len(ranked), n)]


def repeat_in_fresh_process(arguments: argparse.Namespace, lock: int) -> None:
    """Starts `repeat` and waits for it; `lock` is the descriptor of the lock that this process holds.

    Raises OvnasError if it fails.
    """
    command = [sys.executable, "-m", "profiling.collect", "--repeat", str(lock), "--study", arguments.study]
    command += ["--runs-dir", str(arguments.runs_dir), "--seed", str(arguments.seed)]
    if arguments.json:
        command.append("--json")
    stdout = subprocess.DEVNULL if arguments.json else None
    result = subprocess.run(command, stdout=stdout, pass_fds=[lock], check=False)
    if result.returncode != 0:
        raise OvnasError("measuring again in a fresh process failed; what was collected is kept")
