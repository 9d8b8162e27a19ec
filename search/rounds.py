"""One round of a search: evaluate, choose, build, measure. A further one starts from a predictor that has
learned from the finalists."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from search.algorithms.registry import make_algorithm
from search.finalists import Built, build, measure
from search.latency import LatencySource
from search.material import Material
from search.problem import Candidate, Problem
from search.quality import Quality
from search.result import Finalist, widened
from search.selection import pick_between, pick_finalists
from search.settings import Settings
from search.sizes import Sizes
from search.witnesses import Witness
from supernet import cli

if TYPE_CHECKING:
    from rich.console import Console

    from profiling.preparation import Bench
    from profiling.target import Target
    from supernet.architecture import Architecture

__all__ = ["Workshop", "make_problem", "run_round", "search_problem", "without_baseline"]


@dataclass(frozen=True)
class Workshop:
    """What all rounds share. `baseline_quality` is the pre-trained model's accuracy on what the search judges
    on, None without data; `baseline_now_us` its INT8 latency just before the search, None where no limit
    needs it; `bench` makes profiling's, once, with what its rows must agree in; `witnesses` are measured
    beside the finalists; `seconds` says how long what took."""

    settings: Settings
    material: Material
    quality: Quality
    target: Target
    baseline: Built
    baseline_quality: float | None
    baseline_now_us: float | None
    folder: Path
    lock: Callable[[], AbstractContextManager[object]]
    finetune: Callable[[Sequence[Architecture]], None]
    bench: Callable[[], tuple[Bench, dict[str, Any]]]
    witnesses: Callable[[LatencySource], Sequence[Witness]]
    out: Console
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Adds to the seconds that all rounds have spent with something."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[what] = self.seconds.get(what, 0.0) + time.monotonic() - start


def make_problem(
    settings: Settings,
    material: Material,
    quality: Quality,
    source: LatencySource,
    target: Target,
    baseline_quality: float | None,
    *,
    baseline_now_us: float | None = None,
    earlier: Sequence[Candidate] = (),
    on_evaluation: Callable[[int], None] = lambda n: None,
) -> Problem:
    """The problem that the settings describe; `earlier` candidates are known from the start.

    Latencies are those of the machine as it was when the source learned; with `baseline_now_us` a limit in
    milliseconds, which means the machine of now, is carried over to it.
    """
    then_over_now = 1.0 if baseline_now_us is None else source.baseline_us / baseline_now_us
    constraints = settings.constraints.at_speed(then_over_now)
    problem = Problem(
        source.space,
        quality,
        source,
        settings.budget,
        on_evaluation,
        objectives=settings.objectives,
        limits=constraints.limits(source.baseline_us, baseline_quality),
        sizes=Sizes.of_network(material.network),
        is_latency_known=source.is_known,
        samples_in_flight=target["streams"] * target["batch"],
    )
    problem.adopt(earlier)
    return problem


def search_problem(
    workshop: Workshop, source: LatencySource, earlier: Sequence[Candidate], number: int
) -> Problem:
    """Runs the algorithm; every new candidate says that it is of this round."""
    settings = workshop.settings
    budget = settings.budget
    with cli.progress(workshop.out) as bar:
        task = bar.add_task(f"searching ({settings.algorithm})", total=budget, note="")
        problem = make_problem(
            settings, workshop.material, workshop.quality, source, workshop.target,
            workshop.baseline_quality, baseline_now_us=workshop.baseline_now_us, earlier=earlier,
            on_evaluation=lambda n: bar.update(task, completed=n) if n % 5 == 0 or n == budget else None,
        )  # fmt: skip
        if number == 1 and settings.also:
            problem.evaluate(source.space.encode_all(settings.also))
        make_algorithm(settings.algorithm).search(problem, np.random.default_rng(settings.seed))
        n = problem.n_evaluated
        note = "" if problem.is_used_up else f"of at most {budget}: nothing more to gain"
        bar.update(task, completed=n, total=n, note=note)
    known = {c.architecture for c in earlier}
    for architecture, candidate in problem.candidates.items():
        if architecture not in known:
            problem.candidates[architecture] = replace(candidate, round=number)
    return problem


def without_baseline(front: list[Candidate], largest: Architecture, *, is_first: bool) -> list[Candidate]:
    """The front without the baseline's own architecture, which is no faster than it: a finalist's place given
    away, unless a first round has nothing else."""
    others = [c for c in front if c.architecture != largest]
    return others if others or not is_first else front


def asked_for(problem: Problem, settings: Settings) -> list[Candidate]:
    """The candidates that `--also` names, each once, as far as the budget had room for them."""
    if not settings.also:
        return []
    space = problem.space
    codes = space.canonical(space.encode_all(settings.also))
    known = dict.fromkeys(space.decode(row) for row in codes)
    return [problem.candidates[architecture] for architecture in known if architecture in problem.candidates]


def run_round(
    workshop: Workshop,
    source: LatencySource,
    before: Sequence[Finalist],
    earlier: Sequence[Candidate],
    number: int,
) -> tuple[Problem, list[Finalist]]:
    """Returns the problem with all its candidates, and this round's finalists."""
    with workshop.timed("searching"):
        problem = search_problem(workshop, source, earlier, number)
    built_before = {f.built.architecture for f in before}
    front, rivals = (
        [c for c in found if c.architecture not in built_before]
        for found in (problem.front(), problem.rivals())
    )
    front = without_baseline(front, source.space.largest, is_first=not before)
    n, objectives = workshop.settings.finalists, workshop.settings.objectives
    chosen = pick_finalists(front, n, objectives)
    beside = [*(problem.candidates[f.built.architecture] for f in before), *chosen]
    chosen += pick_between(beside, rivals, n - len(chosen), objectives)
    if not before:
        chosen += [c for c in asked_for(problem, workshop.settings) if c not in chosen]
    chosen.sort(key=lambda c: c.latency_us)
    if not chosen:
        return problem, []
    with workshop.timed("finetuning"):
        workshop.finetune([c.architecture for c in chosen])
    witnesses = workshop.witnesses(source)
    rng = np.random.default_rng([workshop.settings.seed, number])
    with workshop.lock(), cli.progress(workshop.out) as bar:
        task = bar.add_task("building finalists", total=len(chosen), note="")
        networks = []
        note = partial(workshop.out.print, soft_wrap=True)
        with workshop.timed("building"):
            for i, candidate in enumerate(chosen, start=len(before) + 1):
                networks.append(
                    build(workshop.material, candidate, workshop.folder / f"{i:02d}", workshop.target, note)
                )
                bar.update(task, advance=1)
        with workshop.timed("measuring"):
            measurement = measure(
                workshop.material, workshop.baseline, networks, workshop.target, rng, bar, witnesses
            )
    predicted = [c.latency_us for c in chosen]
    drift = measurement.drift(source.baseline_us)
    intervals = [
        widened(us, ends, drift)
        for us, ends in zip(predicted, source.interval(np.array(predicted)), strict=True)
    ]
    return problem, [
        Finalist(built, one, measurement, ends, source.baseline_us, number)
        for built, one, ends in zip(networks, measurement.finalists, intervals, strict=True)
    ]
