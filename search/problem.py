"""The search problem: quality up, predicted latency down, over the codes of a space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.compiled import CompiledPredictor
from search.quality import Quality
from supernet.architecture import Architecture
from supernet.space import Space

__all__ = ["Candidate", "Problem", "front_of"]

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Candidate:
    """One evaluated architecture. `latency_us` is predicted."""

    architecture: Architecture
    quality: float
    latency_us: float
    macs: int


class Problem:
    """Evaluates codes; every architecture counts once against `budget`."""

    def __init__(
        self,
        space: Space,
        quality: Quality,
        latency: CompiledPredictor,
        budget: int,
        on_evaluation: Callable[[int], None] = lambda n: None,
    ) -> None:
        self.space, self.quality, self.latency, self.budget = space, quality, latency, budget
        self.candidates: dict[Architecture, Candidate] = {}
        self.n_predicted = 0
        self._on_evaluation = on_evaluation

    @property
    def is_used_up(self) -> bool:
        """Whether the budget is spent."""
        return len(self.candidates) >= self.budget

    def evaluate(self, codes: Codes) -> NDArray[np.float64]:
        """Objectives to minimise, shape (n, 2): minus the quality, and latency in microseconds.

        What no longer fits into the budget gets infinities.
        """
        codes = self.space.canonical(codes)
        latency = self.latency.predict_codes(codes)
        self.n_predicted += len(codes)
        result = np.full((len(codes), 2), np.inf)
        for i, row in enumerate(codes):
            architecture = self.space.decode(row)
            known = self.candidates.get(architecture)
            if known is None and not self.is_used_up:
                macs = int(self.space.macs_of(row[None])[0])
                known = Candidate(architecture, self.quality.of(architecture), float(latency[i]), macs)
                self.candidates[architecture] = known
                self._on_evaluation(len(self.candidates))
            if known is not None:
                result[i] = (-known.quality, known.latency_us)
        return result

    def front(self) -> list[Candidate]:
        """The non-dominated candidates, fastest first."""
        return front_of(list(self.candidates.values()))


def front_of(candidates: list[Candidate]) -> list[Candidate]:
    """Those for which no other is as good in both and better in one, of equals the first; fastest first."""
    front: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (c.latency_us, -c.quality)):
        if not front or candidate.quality > front[-1].quality:
            front.append(candidate)
    return front
