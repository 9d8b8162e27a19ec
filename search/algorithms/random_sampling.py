"""The baseline of all searches: uniform architectures."""

from __future__ import annotations

import numpy as np

from search.algorithms.base import Algorithm, extremes
from search.problem import Problem

__all__ = ["RandomSampling"]

BATCH = 16
# So many batches without a new architecture, and the space is taken to have no more.
MAX_STALLED = 200


class RandomSampling(Algorithm):
    """Both extremes, then each slot's choice uniform, no architecture twice."""

    def search(self, problem: Problem, rng: np.random.Generator) -> None:
        problem.evaluate(extremes(problem.space))
        stalled = 0
        while not problem.is_used_up and stalled < MAX_STALLED:
            before = len(problem.candidates)
            problem.evaluate(problem.space.sample_codes(BATCH, rng))
            stalled = stalled + 1 if len(problem.candidates) == before else 0
