"""The search problem: objectives and constraints over the codes of a space, and what was evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from search.constraints import Limit
from search.domination import Reference, nondominated
from search.objectives import DEFAULT, OBJECTIVES, Objective, points_of
from search.quality import Quality
from search.sizes import Sizes
from supernet.architecture import Architecture
from supernet.space import Space

__all__ = ["Candidate", "Latency", "Problem"]

# How far beyond its worse end the box of hypervolume reaches, as a share of its length.
BEYOND = 0.02

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


class Latency(Protocol):
    """Latency in microseconds of coded architectures: a compiled predictor, or the benchmark itself."""

    def predict_codes(self, codes: Codes) -> Floats:
        """Shape (n,) for codes of shape (n, n_slots)."""


@dataclass(frozen=True)
class Candidate:
    """One evaluated architecture. `latency_us` is predicted, or measured where the benchmark is in the loop;
    `model_bytes` is an estimate. `round` is the search's round that found it."""

    architecture: Architecture
    quality: float
    latency_us: float
    macs: int
    n_parameters: int = 0
    model_bytes: int = 0
    round: int = 1


class Problem:
    """Evaluates codes; every architecture counts once against `budget`.

    `is_latency_known` is False where a latency is a measurement, which is spent on what is evaluated only.
    `samples_in_flight` are streams x batch, which throughput is made of.
    """

    def __init__(
        self,
        space: Space,
        quality: Quality,
        latency: Latency,
        budget: int,
        on_evaluation: Callable[[int], None] = lambda n: None,
        *,
        objectives: Sequence[Objective] = DEFAULT,
        limits: Sequence[Limit] = (),
        sizes: Sizes | None = None,
        is_latency_known: bool = True,
        samples_in_flight: int = 1,
    ) -> None:
        self.space, self.quality, self.latency, self.budget = space, quality, latency, budget
        self.objectives, self.limits = tuple(objectives), tuple(limits)
        self.sizes = Sizes.of_space(space) if sizes is None else sizes
        self.is_latency_known = is_latency_known
        self.candidates: dict[Architecture, Candidate] = {}
        self.n_predicted = 0
        self._in_flight = samples_in_flight
        self._adopted = 0
        self._on_evaluation = on_evaluation

    @property
    def n_evaluated(self) -> int:
        """How many count against the budget."""
        return len(self.candidates) - self._adopted

    @property
    def n_evaluated_in_all(self) -> int:
        """With what earlier rounds have evaluated."""
        return len(self.candidates)

    @property
    def is_used_up(self) -> bool:
        """Whether the budget is spent."""
        return self.n_evaluated >= self.budget

    @property
    def unknown(self) -> tuple[str, ...]:
        """The objectives that objectives and limits need and only an evaluation gives."""
        used = {o.name for o in self.objectives} | {limit.objective for limit in self.limits}
        result = []
        if not self.quality.is_known and "accuracy" in used:
            result.append("accuracy")
        if not self.is_latency_known and used & {"latency", "throughput"}:
            result.append("latency")
        return tuple(result)

    def adopt(self, candidates: Iterable[Candidate]) -> None:
        """Takes over what an earlier round has evaluated, with latencies of now; it costs no budget."""
        found = list(candidates)
        codes = self.space.encode_all(c.architecture for c in found)
        for candidate, us in zip(found, self.latency.predict_codes(codes), strict=True):
            if candidate.architecture not in self.candidates:
                self.candidates[candidate.architecture] = replace(candidate, latency_us=float(us))
                self._adopted += 1

    def known_values(self, codes: Codes, estimates: Mapping[str, Floats] | None = None) -> dict[str, Floats]:
        """What objectives and limits need of canonical codes without evaluating; `estimates` stand for
        what is `unknown`."""
        estimates = estimates or {}
        used = {o.name for o in self.objectives} | {limit.objective for limit in self.limits}
        values = dict(estimates)
        if "accuracy" in used and self.quality.is_known:
            values["accuracy"] = self.quality.of_codes(codes)
        if used & {"latency", "throughput"} and "latency" not in values:
            values["latency"] = self.latency.predict_codes(codes)
            self.n_predicted += len(codes)
        if "throughput" in used:
            values["throughput"] = self._throughput(values["latency"])
        for name in ("macs", "parameters", "model_size"):
            if name in used:
                values[name] = getattr(self.sizes, name).predict_codes(codes)
        return values

    def points(self, values: Mapping[str, Floats]) -> Floats:
        """Objectives to minimise, shape (n, n_objectives)."""
        return points_of(self.objectives, values)

    def excess(self, values: Mapping[str, Floats]) -> Floats:
        """How far beyond its limits each one is, in all; 0 where it is feasible. Shape (n,)."""
        n = len(next(iter(values.values())))
        return sum((limit.excess(values[limit.objective]) for limit in self.limits), np.zeros(n))

    def evaluate(self, codes: Codes) -> tuple[Floats, Floats]:
        """Objectives to minimise, shape (n, n_objectives), and what they lie beyond the limits, (n,).

        What no longer fits into the budget gets infinities.
        """
        codes = self.space.canonical(codes)
        architectures = [self.space.decode(row) for row in codes]
        self._evaluate_new(codes, architectures)
        points = np.full((len(codes), len(self.objectives)), np.inf)
        excess = np.full(len(codes), np.inf)
        places = [i for i, a in enumerate(architectures) if a in self.candidates]
        if places:
            values = self.values_of([self.candidates[architectures[i]] for i in places])
            points[places], excess[places] = self.points(values), self.excess(values)
        return points, excess

    def _evaluate_new(self, codes: Codes, architectures: Sequence[Architecture]) -> None:
        fresh = {a: i for i, a in reversed(list(enumerate(architectures))) if a not in self.candidates}
        places = sorted(fresh.values())[: max(0, self.budget - self.n_evaluated)]
        if not places:
            return
        rows = codes[places]
        latency = self.latency.predict_codes(rows)
        self.n_predicted += len(rows) if self.is_latency_known else 0
        sizes = [getattr(self.sizes, n).predict_codes(rows) for n in ("macs", "parameters", "model_size")]
        for architecture, us, *counts in zip(
            (architectures[i] for i in places), latency, *sizes, strict=True
        ):
            quality = self.quality.of(architecture)
            macs, n_parameters, model_bytes = (round(float(c)) for c in counts)
            candidate = Candidate(architecture, quality, float(us), macs, n_parameters, model_bytes)
            self.candidates[architecture] = candidate
            self._on_evaluation(self.n_evaluated)

    def values_of(self, candidates: Sequence[Candidate]) -> dict[str, Floats]:
        """Every objective of evaluated architectures, (n,) each."""
        values = {
            name: np.array([getattr(c, objective.figure) for c in candidates], dtype=np.float64)
            for name, objective in OBJECTIVES.items()
        }
        return {**values, "throughput": self._throughput(values["latency"])}

    def _throughput(self, latency_us: Floats) -> Floats:
        return 1e6 * self._in_flight / latency_us

    def evaluated(self) -> tuple[Floats, Floats]:
        """Points and excess of all candidates, in the order of their evaluation."""
        values = self.values_of(list(self.candidates.values()))
        return self.points(values), self.excess(values)

    @property
    def has_feasible(self) -> bool:
        """Whether any candidate keeps to all limits."""
        return bool(self.candidates) and bool((self.evaluated()[1] == 0).any())

    def front(self) -> list[Candidate]:
        """The feasible candidates that no other dominates, fastest first; if none is feasible, the one
        nearest to it."""
        candidates = list(self.candidates.values())
        if not candidates:
            return []
        points, excess = self.evaluated()
        if not (excess == 0).any():
            return [candidates[int(np.argmin(excess))]]
        places = np.flatnonzero(excess == 0)
        chosen = places[nondominated(points[places])]
        return sorted((candidates[i] for i in chosen), key=lambda c: (c.latency_us, -c.quality))

    def rivals(self) -> list[Candidate]:
        """Feasible candidates behind the front, but within one standard error of the accuracy of every member
        that is no worse in all other objectives (in latency, say): which of the two is better, the images
        cannot tell. Fastest first."""
        is_asked = self.quality.is_accuracy and "accuracy" in {o.name for o in self.objectives}
        if not (is_asked and self.has_feasible):
            return []
        front = {c.architecture for c in self.front()}
        candidates = list(self.candidates.values())
        points, excess = self.evaluated()
        costs = points[:, [i for i, o in enumerate(self.objectives) if o.name != "accuracy"]]
        members = [i for i, c in enumerate(candidates) if c.architecture in front]

        def is_rival(place: int) -> bool:
            better = [i for i in members if (costs[i] <= costs[place]).all()]
            best = max(candidates[i].quality for i in better)  # one of them dominates it
            return candidates[place].quality >= best - self.quality.standard_error(best)

        found = [
            c
            for i, c in enumerate(candidates)
            if not excess[i] and c.architecture not in front | {self.space.largest} and is_rival(i)
        ]  # the largest is the baseline
        return sorted(found, key=lambda c: c.latency_us)

    def reference(self) -> Reference:
        """The box that hypervolume is measured in, the same for every search of one problem that has
        evaluated both ends of the space: from the worse of them in each objective, but no further than the
        limits, to the better one (for an accuracy, to 1), or as far beyond a limit that this one does not
        keep; and a little beyond the worse end, or what lies just there, and is as good as asked for, would
        count for nothing."""
        ends = [self.candidates[a] for a in (self.space.largest, self.space.smallest) if a in self.candidates]
        values = self.values_of(ends or list(self.candidates.values()))
        worst, best = dict[str, float](), dict[str, float]()
        for objective in self.objectives:
            own, is_maximised = values[objective.name], objective.is_maximised
            low, high = float(own.min()), float(own.max())
            worst[objective.name], best[objective.name] = (low, high) if is_maximised else (high, low)
            if objective.name == "accuracy" and self.quality.is_accuracy:
                best["accuracy"] = 1.0
        for limit in self.limits:
            if limit.objective in worst:
                name, pick = limit.objective, min if limit.is_upper else max
                length = best[name] - worst[name]
                worst[name] = pick(worst[name], limit.bound)
                if (best[name] - worst[name]) * length <= 0:  # more is asked than the better end has
                    best[name] = worst[name] + length
        for name, end in worst.items():
            worst[name] = end + BEYOND * (end - best[name])
        ends_of = [
            self.points({name: np.array([value]) for name, value in end.items()})[0] for end in (worst, best)
        ]
        return Reference(*(tuple(map(float, end)) for end in ends_of))

    def hypervolume(self) -> float:
        """Of the feasible candidates, in `reference`."""
        points, excess = self.evaluated()
        return self.reference().hypervolume(points[excess == 0])
