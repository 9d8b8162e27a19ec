"""Between two rounds: the finalists' measurements go back, and the predictor learns from them."""

from __future__ import annotations

import argparse
import dataclasses

from search.feedback import can_retrain, is_tuned, retrain, store_finalists
from search.latency import LatencySource
from search.result import Finalist, is_inside, violations_of
from search.rounds import Workshop
from search.sources import predicted_source
from supernet.errors import OvnasError
from supernet.study import Study

__all__ = ["give_back", "refreshed"]


def refreshed(
    study: Study,
    arguments: argparse.Namespace,
    workshop: Workshop,
    source: LatencySource,
    finalists: list[Finalist],
    number: int,
) -> LatencySource | None:
    """A predictor that has learned from this round's finalists, or None where another round is not asked for:
    there were no new ones, or all of them lie in their intervals and one of all rounds keeps to the
    constraints.

    The one of accuracy is left out: no better latencies mend it, and going on until the test images like one
    of many finalists would make that accuracy a chosen one.
    """
    from profiling.machine import read_machine

    out, name = workshop.out, workshop.settings.predictor
    fresh = [f for f in finalists if f.round == number]
    if not fresh:
        out.print(f"round {number}: no candidate is left that was not built before")
        return None
    outside = [f for f in fresh if is_inside(f) is False]
    constraints = dataclasses.replace(workshop.settings.constraints, max_accuracy_drop=None)
    is_feasible = any(not violations_of(f, workshop.baseline, constraints) for f in finalists)
    if not outside and is_feasible:
        out.print(f"round {number}: every finalist lies in its interval; no further round is needed")
        return None
    why = f"{len(outside)} finalist(s) outside of the interval"
    if not is_feasible:
        why += f", none keeps to {constraints.options}"
    if not can_retrain(study, arguments.runs_dir, name):
        out.print(f"round {number}: {why}; {name!r} must be trained again by hand")
        return None
    if not give_back(study, arguments, workshop, source, finalists, is_last=False):
        return None
    out.print(f"round {number}: {why}; {name} learns from them")
    architectures = [f.built.architecture for f in finalists]
    newer = retrain(study, arguments, name, number + 1, source.data_hash, architectures)
    settings = dataclasses.replace(workshop.settings, predictor=newer)
    return predicted_source(study, arguments, settings, read_machine(), workshop.target)


def give_back(
    study: Study,
    arguments: argparse.Namespace,
    workshop: Workshop,
    source: LatencySource,
    finalists: list[Finalist],
    *,
    is_last: bool = True,
) -> bool:
    """The finalists' measurements into the database, under the measuring lock; False, with a note, where that
    fails, for the search's own result does not depend on it."""
    import numpy as np

    rng = np.random.default_rng([workshop.settings.seed, 13])
    architectures = [f.built.architecture for f in finalists]
    try:
        with workshop.lock():
            n = store_finalists(study, arguments.runs_dir, architectures, rng, workshop.bench)
    except OvnasError as error:
        workshop.out.print(f"note: finalists were not added to the measurements: {error}", soft_wrap=True)
        return False
    name = workshop.settings.predictor
    if n and is_last:
        how = "python -m predictor.train"
        if source.is_known and can_retrain(study, arguments.runs_dir, name):
            how += f" --predictor {name}{' --tune' if is_tuned(study, arguments.runs_dir, name) else ''}"
        workshop.out.print(f"{n} finalist(s) added to the measurements; to learn from them: {how}")
    return True
