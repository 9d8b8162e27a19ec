"""A search by prediction alone: hundreds of thousands of architectures, none of them evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.domination import fronts
from search.problem import Problem
from supernet.space import Space

__all__ = ["Pool", "best_of", "evolve", "levelled", "score"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Estimates = Callable[[Codes], dict[str, Floats]]
"""Values of what only an evaluation gives, (n,) each, for canonical codes."""

OFFSPRING = 24_000
ARCHIVE = 400
# Of a generation's children, so many come from two parents, and so many from none.
CROSSED, FRESH = 0.5, 0.1
MUTATED_SLOTS = 1.5


@dataclass(frozen=True)
class Pool:
    """Scored architectures: canonical codes (n, n_slots), points to minimise, and what lies beyond limits."""

    codes: Codes
    points: Floats
    excess: Floats


def score(problem: Problem, codes: Codes, estimates: Estimates) -> Pool:
    """By prediction; `codes` are canonical."""
    values = problem.known_values(codes, estimates(codes))
    return Pool(codes, problem.points(values), problem.excess(values))


def best_of(pool: Pool, n: int, rng: np.random.Generator) -> Pool:
    """The best `n`: fronts of what is feasible, one after the other (of the last one, any), then what is
    nearest to it."""
    feasible = np.flatnonzero(pool.excess == 0)
    ranked = np.empty(0, dtype=np.int64)
    for front in fronts(pool.points[feasible], n):
        places, free = feasible[front], n - len(ranked)
        ranked = np.concatenate([ranked, places if len(places) <= free else rng.permutation(places)[:free]])
    others = np.flatnonzero(pool.excess > 0)
    others = others[np.argsort(pool.excess[others], kind="stable")]
    ranked = np.concatenate([ranked, others[: n - len(ranked)]])
    return Pool(pool.codes[ranked], pool.points[ranked], pool.excess[ranked])


def levelled(space: Space, n: int, rng: np.random.Generator) -> Codes:
    """Architectures of every size: levels run evenly from the smallest to the largest. Shape (n, n_slots)."""
    levels = (np.arange(n) + rng.uniform(0, 1, n)) / n
    return space.codes_around(levels[:, None], rng)


def evolve(
    problem: Problem,
    estimates: Estimates,
    start: Codes,
    rng: np.random.Generator,
    *,
    generations: int,
    offspring: int = OFFSPRING,
    archive: int = ARCHIVE,
) -> Pool:
    """Generations of mutation and crossover of the best so far; returns the last archive."""
    space = problem.space
    first = np.concatenate([start, levelled(space, offspring, rng)])
    pool = best_of(score(problem, _distinct(first), estimates), archive, rng)
    for _ in range(generations):
        children = _distinct(np.concatenate([pool.codes, _children(space, pool.codes, offspring, rng)]))
        pool = best_of(score(problem, children, estimates), archive, rng)
    return pool


def _children(space: Space, parents: Codes, n: int, rng: np.random.Generator) -> Codes:
    sizes = np.array([len(slot.choices) for slot in space.slots])
    n_fresh = int(FRESH * n)
    n -= n_fresh
    codes = parents[rng.integers(len(parents), size=n)]
    others = parents[rng.integers(len(parents), size=n)]
    from_other = (rng.random(codes.shape) < 0.5) & (rng.random((n, 1)) < CROSSED)
    codes = np.where(from_other, others, codes)
    mutated = rng.random(codes.shape) < MUTATED_SLOTS / len(sizes)
    step = rng.choice([-1, 1], size=codes.shape)
    anywhere = rng.random(codes.shape) < 0.3
    moved = np.where(anywhere, rng.integers(0, sizes, size=codes.shape), codes + step)
    codes = np.clip(np.where(mutated, moved, codes), 0, sizes - 1)
    return np.concatenate([space.canonical(codes), levelled(space, n_fresh, rng)])


def _distinct(codes: Codes) -> Codes:
    """Each row once, in the order of first appearance."""
    weights = np.random.default_rng(7).integers(1, 2**62, size=(codes.shape[1],))
    _, first = np.unique((codes + 1) @ weights, return_index=True)  # wraps around: a hash
    kept: Codes = codes[np.sort(first)]
    return kept
