"""Between two rounds: the finalists' measurements go back, and the predictor learns from them."""

from __future__ import annotations

import argparse

from search.feedback import can_retrain, retrain, store_finalists
from search.latency import LatencySource
from search.result import Finalist, is_inside, violations_of
from search.rounds import Workshop
from search.sources import predicted_source
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
    constraints."""
    from profiling.machine import read_machine

    out, name = workshop.out, workshop.settings.predictor
    fresh = [f for f in finalists if f.round == number]
    if not fresh:
        out.print(f"round {number}: no candidate is left that was not built before")
        return None
    outside = [f for f in fresh if is_inside(f) is False]
    constraints = workshop.settings.constraints
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
    give_back(study, arguments, workshop, source, finalists, is_last=False)
    out.print(f"round {number}: {why}; {name} learns from them")
    retrain(arguments, name)
    return predicted_source(study, arguments, workshop.settings, read_machine(), workshop.target)


def give_back(
    study: Study,
    arguments: argparse.Namespace,
    workshop: Workshop,
    source: LatencySource,
    finalists: list[Finalist],
    *,
    is_last: bool = True,
) -> None:
    """The finalists' measurements into the database, under the measuring lock."""
    import numpy as np

    rng = np.random.default_rng([workshop.settings.seed, 13])
    architectures = [f.built.architecture for f in finalists]
    with workshop.lock():
        n = store_finalists(study, arguments.runs_dir, architectures, rng, workshop.out)
    name = workshop.settings.predictor
    if n and is_last:
        how = "python -m predictor.train"
        if source.is_known and can_retrain(study, arguments.runs_dir, name):
            how += f" --predictor {name}"
        workshop.out.print(f"{n} finalist(s) added to the measurements; to learn from them: {how}")
