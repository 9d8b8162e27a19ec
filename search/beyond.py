"""What a search with the latency predictor finds with the MACs of the published sub-networks."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from search.comparison import COPIES, compare
from search.comparison import ROUNDS as VERDICT_ROUNDS
from search.fastest import fastest_within
from search.published import BASELINE, Published, member_of
from search.speedup import Ratio
from supernet.errors import OvnasError
from supernet.study import Study

if TYPE_CHECKING:
    import openvino as ov
    from rich.console import Console
    from rich.progress import Progress

    from predictor.saved import SavedPredictor
    from profiling.target import Target
    from supernet.architecture import Architecture
    from supernet.sliced import SlicedGraphs

__all__ = ["FINE", "SPACES", "beyond_published", "load_predictor", "make_graphs", "print_beyond"]

SUBMITTED, FINE = "resnet50", "resnet50_fine16"
# By what a table calls them: the study, and how many blocks a stage may lose.
SPACES = {
    "same space": (SUBMITTED, 1),
    "steps of 16": (FINE, 1),
    "steps of 64": ("resnet50_fine64", 1),
    "16, shallower": (FINE, 2),
}
# Fewer MACs are trivially faster, so the budget is to be used: most of it, or all but a rest.
LEAST_SHARES = (0.9, 0.98)
CANDIDATES = 4
ROUNDS = 30  # of the choice, that one copy of each is enough for
ADVICE = "free some, or leave this part out"


@dataclass(frozen=True)
class _Candidate:
    """One found network: of which space, in place of which published one."""

    space: str
    instead_of: str
    least_share: float
    architecture: Architecture
    macs: int
    predicted_us: float
    model: ov.Model


def beyond_published(
    published: dict[str, Published],
    weights: Path | None,
    folder: Path,
    rng: np.random.Generator,
    bar: Progress,
) -> dict[str, Any]:
    """Searches each of SPACES within the MACs of A, B and C; measures CANDIDATES of each, and the fastest
    ones once more, beside the published networks. `folder` holds the predictor, `weights` those of ResNet-50
    (None: random).

    Choice and verdict are two measurements: the second is not biased by the choice.
    """
    from profiling.machine import read_target, throughput_target

    saved = load_predictor(folder)
    target = read_target(Study.load(SUBMITTED).target)
    names = [name for name in published if name != BASELINE]
    task = bar.add_task("searching within MACs", total=2 * len(SPACES) + len(names) + 2, note="")
    models: dict[str, ov.Model] = {}
    candidates: list[_Candidate] = []
    searches: list[dict[str, Any]] = []
    for space, (study_name, max_dropped) in SPACES.items():
        bar.update(task, note=f"quantising {space}")
        graphs = make_graphs(study_name, weights, max_dropped=max_dropped)
        bar.update(task, advance=1, note=f"searching: {space}")
        if study_name == SUBMITTED:
            models = {n: graphs.model(member_of(graphs.space, p)) for n, p in published.items()}
        search = _Search(graphs, saved, target)
        for name, least_share in itertools.product(names, LEAST_SHARES):
            own, fact = search.within(published[name], space, least_share, rng)
            candidates += own
            searches.append(fact)
        bar.update(task, advance=1)
    chosen: list[_Candidate] = []
    tried: list[dict[str, Any]] = []
    for name in names:
        bar.update(task, note=f"measuring candidates for {name}")
        own = [c for c in candidates if c.instead_of == name]
        _, ratios = compare(
            models[BASELINE], [c.model for c in own], target, rng, copies=1, rounds=ROUNDS, advice=ADVICE
        )
        speedups = [ratios[0].over(one).value for one in ratios[1:]]
        for kind in itertools.product(SPACES, LEAST_SHARES):
            ranked = [
                (speedup, c)
                for speedup, c in zip(speedups, own, strict=True)
                if (c.space, c.least_share) == kind
            ]
            chosen.append(max(ranked, key=lambda item: item[0])[1])
        tried += [{**_facts(c), "speedup": speedup} for speedup, c in zip(speedups, own, strict=True)]
        bar.update(task, advance=1)
    modes = {}
    for mode, what in (("latency", target), ("throughput", throughput_target(target))):
        bar.update(task, note=f"measuring the fastest, {mode}")
        networks = [*(models[name] for name in names), *(c.model for c in chosen)]
        _, (base, *ratios) = compare(models[BASELINE], networks, what, rng, advice=ADVICE)
        theirs = dict(zip(names, ratios, strict=False))
        modes[mode] = {
            "target": what,
            "copies": COPIES,
            "rounds": VERDICT_ROUNDS,
            "published": {name: _speedup(base.over(one)) for name, one in theirs.items()},
            "found": [
                {
                    **_speedup(base.over(one)),
                    "over_published": _speedup(theirs[c.instead_of].over(one)),
                }
                for c, one in zip(chosen, ratios[len(names) :], strict=True)
            ],
        }
        bar.update(task, advance=1)
    return {
        "predictor": str(folder),
        "spaces": {space: {"study": s, "max_dropped": d} for space, (s, d) in SPACES.items()},
        "least_shares_of_macs": LEAST_SHARES,
        "searches": searches,
        "candidates": tried,
        "macs": {name: p.macs for name, p in published.items()},
        "chosen": [_facts(c) for c in chosen],
        "modes": modes,
    }


def make_graphs(
    study_name: str, weights: Path | None = None, *, max_dropped: int | None = None
) -> SlicedGraphs:
    """The INT8 graphs of a shipped study's space, at batch 1, with random weights if none are given;
    `max_dropped` in place of the study's."""
    import dataclasses

    from supernet import study_model

    study = Study.load(study_name)
    if weights is not None:
        study = dataclasses.replace(study, model=dataclasses.replace(study.model, weights=str(weights)))
    if max_dropped is not None:
        study = dataclasses.replace(study, space=dataclasses.replace(study.space, max_dropped=max_dropped))
    return study_model.make_graphs(study)


def load_predictor(folder: Path) -> SavedPredictor:
    """The latency predictor in `folder`. Raises OvnasError if there is none, or it is of another machine."""
    from predictor.saved import load
    from profiling.machine import read_machine, read_target

    if not folder.exists():
        raise OvnasError(
            f"the search needs a latency predictor, and there is none at {folder}; make one with python -m "
            f"profiling.collect --study {FINE} and python -m predictor.train --study {FINE}"
        )
    saved = load(folder)
    saved.require(read_machine(), read_target(Study.load(SUBMITTED).target))
    return saved


class _Search:
    """Searches one space with a saved predictor, whose kernels may come from other spaces."""

    def __init__(self, graphs: SlicedGraphs, saved: SavedPredictor, target: Target) -> None:
        from predictor.compiled import CompiledPredictor
        from predictor.macs import MacsPredictor
        from profiling.preparation import Bench

        plan = Bench(graphs, target).plan
        counter = MacsPredictor()
        counter.overhead_us_, counter.us_per_mac_ = 0.0, 1.0  # its latencies are MACs
        self.graphs, self.space = graphs, plan.space
        self.latency = CompiledPredictor(plan, saved.predictor, saved.conditions)
        self.macs = CompiledPredictor(plan, counter, saved.conditions)

    def within(
        self, published: Published, space: str, least_share: float, rng: np.random.Generator
    ) -> tuple[list[_Candidate], dict[str, Any]]:
        """The fastest candidates within the published network's MACs, and how they were found."""
        limits = (least_share * published.macs, float(published.macs))
        start = time.monotonic()
        found = fastest_within(
            self.space, self.latency.predict_codes, self.macs.predict_codes, limits, rng, keep=CANDIDATES
        )
        seconds = time.monotonic() - start
        architectures = [self.space.decode(codes) for codes in found.codes]
        candidates = [
            _Candidate(
                space,
                published.name,
                least_share,
                one,
                self.space.macs(one),
                float(us),
                self.graphs.model(one),
            )
            for one, us in zip(architectures, found.latency_us, strict=True)
        ]
        fact = {"space": space, "instead_of": published.name, "least_share": least_share,
                "log10_size": self.space.log10_size, "scored": found.n_scored,
                "seconds": round(seconds, 2)}  # fmt: skip
        return candidates, fact


def _speedup(ratio: Ratio) -> dict[str, Any]:
    """With its 95 % interval, over copies and rounds."""
    return {"speedup": ratio.value, "interval": ratio.interval}


def _facts(candidate: _Candidate) -> dict[str, Any]:
    return {
        "space": candidate.space,
        "instead_of": candidate.instead_of,
        "least_share": candidate.least_share,
        "architecture": str(candidate.architecture),
        "macs": candidate.macs,
        "predicted_us": candidate.predicted_us,
    }


def print_beyond(value: dict[str, Any], out: Console) -> None:
    """The table of `beyond_published`'s value."""
    from supernet.cli import print_table

    base = value["macs"][BASELINE]
    for mode, found in value["modes"].items():
        rows = []
        for name, theirs in found["published"].items():
            rows.append(_row(name, value["macs"][name], base, theirs, ""))
            for fact, own in zip(value["chosen"], found["found"], strict=True):
                if fact["instead_of"] == name:
                    over = own["over_published"]
                    low, high = over["interval"]
                    rows.append(
                        _row(f"  {fact['space']}, {fact['least_share']:.0%}", fact["macs"], base, own,
                             f"{over['speedup']:.3f} ({low:.3f} to {high:.3f})")
                    )  # fmt: skip
        columns = ("network", "million MACs", "fewer MACs", "speed-up (95 % interval)",
                   "of saved MACs", "over the published one")  # fmt: skip
        print_table(out, f"within the same MACs, {mode} mode, over INT8 ResNet-50", columns, rows)
    out.print(
        "found: in the named space, with at least that share of the MACs of the published network, and at "
        "most all; chosen by one measurement, shown by another. `of saved MACs`: log(speed-up) / log(fewer "
        "MACs). Accuracy is not measured.",
        soft_wrap=True,
    )


def _row(label: str, macs: int, base: int, found: dict[str, Any], *over: str) -> list[str]:
    low, high = found["interval"]
    fewer = base / macs
    # As logarithms: 100 % where time falls as MACs do.
    share = np.log(found["speedup"]) / np.log(fewer)
    speedup = f"{found['speedup']:.3f} ({low:.3f} to {high:.3f})"
    return [label, f"{macs / 1e6:.0f}", f"{fewer:.2f}x", speedup, f"{share:.0%}", *over]
