"""Every architecture of a space that is small enough."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from search.algorithms.base import Algorithm, extremes
from search.problem import Problem
from supernet.errors import OvnasError
from supernet.space import Space

__all__ = ["LIMIT", "Exhaustive", "enumerate_codes"]

LIMIT = 100_000
# Combinations of choices are tried so many at a time; of those that mean one network, one is kept.
_CHUNK = 100_000
_MOST_COMBINATIONS = 20_000_000


class Exhaustive(Algorithm):
    """Evaluates the whole space."""

    def require(self, space: Space, budget: int) -> None:
        """Raises OvnasError, naming both, if the space's size is above the limit: the budget, and LIMIT in
        any case."""
        limit = min(LIMIT, budget)
        if space.log10_size > math.log10(LIMIT):
            raise OvnasError(
                f"an exhaustive search of this space needs 10^{space.log10_size:.1f} evaluations, but its "
                f"limit is {limit:,}; take guided"
            )
        size = round(10**space.log10_size)
        if size > limit:
            raise OvnasError(
                f"an exhaustive search of this space needs {size:,} evaluations, but its limit is "
                f"{limit:,}; give --evaluations {size}"
            )

    def search(self, problem: Problem, rng: np.random.Generator) -> None:
        self.require(problem.space, problem.budget)
        problem.evaluate(extremes(problem.space))
        problem.evaluate(enumerate_codes(problem.space))


def enumerate_codes(space: Space) -> NDArray[np.int64]:
    """Canonical codes of every architecture, once each. Raises OvnasError for a space of too many
    combinations."""
    shape = [len(slot.choices) for slot in space.slots]
    n = math.prod(shape)
    if n > _MOST_COMBINATIONS:
        raise OvnasError(
            f"a space of 10^{math.log10(n):.1f} combinations cannot be enumerated; the limit is "
            f"{_MOST_COMBINATIONS:,}"
        )
    found = [np.empty((0, len(shape)), dtype=np.int64)]
    for start in range(0, n, _CHUNK):
        places = np.arange(start, min(n, start + _CHUNK))
        codes = np.stack(np.unravel_index(places, shape), axis=1)
        found.append(codes[(space.canonical(codes) == codes).all(axis=1)])
    return np.concatenate(found)
