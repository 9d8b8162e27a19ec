"""Measuring block by block until a budget is used."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from typing import TYPE_CHECKING

from supernet import cli

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from profiling.block import Measured
    from profiling.budget import Budget
    from profiling.preparation import Bench
    from profiling.record import Reason
    from profiling.store import Store
    from supernet.architecture import Architecture

__all__ = ["measure"]

# How often a network is measured again whose rounds were mostly flagged.
RETRIES = 1


def measure(
    bench: Bench, store: Store, budget: Budget, start: float, rng: np.random.Generator, out: Console
) -> None:
    """Block by block until the budget is used, which counts from `start` by the monotonic clock.

    A network that was disturbed waits for the next block and is measured again; the calmer one is kept. A
    block is smaller where memory has no room for more.

    Raises OvnasError if there is no room at all.
    """
    from profiling.block import is_disturbed, measure_block
    from profiling.budget import BLOCK, Spent
    from profiling.coverage import Chooser
    from profiling.timing import ratio

    measured = [(n.architecture, ratio(n.rounds, store.level)) for n in store.networks()]
    chooser = Chooser(bench.plan.space, rng, [architecture for architecture, _ in measured])
    n_before, room = len(measured), bench.room()
    if room < BLOCK:
        out.print(f"note: memory has room for {room} networks together, not {BLOCK}: fewer are timed at once")
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
            n = min(budget.next_block(len(measured), spent), room)
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
                if is_disturbed(one.rounds) and tries[architecture] <= RETRIES:
                    waiting[architecture] = (chosen[architecture], one)
                else:
                    reason, first = waiting.pop(architecture, (chosen[architecture], one))
                    keep(reason, min(one, first, key=_n_flagged))
            now = time.monotonic()
            shown = len(measured) if budget.networks else min(total, int(now - start))
            bar.update(task, completed=shown, note=f"{len(measured)} networks")
        for reason, one in waiting.values():  # no budget is left to measure them again
            keep(reason, one)


def _n_flagged(one: Measured) -> int:
    return sum(r.is_flagged for r in one.rounds)
