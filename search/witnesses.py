"""Networks that were profiled, measured again beside the finalists: how much faster the machine is now.

The anchor alone cannot say it: on a shared machine the largest network may gain or lose another share than
the others do, and every prediction would be off by the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import openvino as ov

    from profiling.preparation import Bench
    from profiling.record import NetworkRecord
    from search.latency import LatencySource
    from supernet.architecture import Architecture
    from supernet.study import Study

__all__ = ["N_WITNESSES", "Testimony", "Witness", "call_witnesses", "evenly_by_latency"]

N_WITNESSES = 4


@dataclass(frozen=True)
class Witness:
    """A network to be measured again; `then_us` at the speed that a latency source refers to."""

    architecture: Architecture
    then_us: float
    model: ov.Model


@dataclass(frozen=True)
class Testimony:
    """Its latency in microseconds when it was profiled, and now."""

    architecture: Architecture
    then_us: float
    now_us: float


def call_witnesses(
    study: Study,
    runs_dir: Path,
    source: LatencySource,
    make_bench: Callable[[], tuple[Bench, dict[str, Any]]],
) -> list[Witness]:
    """Up to N_WITNESSES networks of the study's database, spread over the logarithm of latency; none where
    nothing was collected here. `make_bench` as `profiling.beginning.set_up`.

    Raises OvnasError for a database that cannot be read, or was measured under other conditions.
    """
    from profiling.collect import store_path
    from profiling.store import Store

    path = store_path(study, runs_dir)
    if not path.is_file():
        return []
    bench, meta = make_bench()
    with Store.create_or_open(path, meta) as store:
        anchor_us = store.anchor_us()
        records = [r for r in store.records() if r.chosen_as != "finalist"]  # those are of other days
    records = [r for r in records if r.architecture != source.space.largest]  # which is the anchor
    return [
        Witness(
            r.architecture,
            source.baseline_us * r.latency_us / anchor_us,
            bench.graphs.model(r.architecture),
        )
        for r in evenly_by_latency(records, N_WITNESSES)
    ]


def evenly_by_latency(records: Sequence[NetworkRecord], n: int) -> list[NetworkRecord]:
    """Up to `n` of them: of so many equal parts of the logarithm of latency, the nearest to each middle."""
    free = sorted(records, key=lambda r: r.latency_us)
    if len(free) <= n:
        return free
    low, high = np.log(free[0].latency_us), np.log(free[-1].latency_us)
    chosen = []
    for wanted in low + (high - low) * (np.arange(n) + 0.5) / n:
        best = min(free, key=lambda r: abs(np.log(r.latency_us) - wanted))
        free.remove(best)
        chosen.append(best)
    return chosen
