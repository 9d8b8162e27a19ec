"""The default: real evaluations are spent where a model of those before them says that the front is."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from profiling.coverage import space_filling
from search.algorithms.base import Algorithm, extremes
from search.algorithms.exhaustive import enumerate_codes
from search.domination import fronts, nondominated
from search.predicted import Estimates, Pool, best_of, evolve, levelled, score
from search.problem import Problem
from search.surrogate import ACCURACY, LATENCY, Encoding, Surrogate, Transform, fit_surrogate

__all__ = ["Guided"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

# Learned from at most so many of the evaluations, those nearest to the front: the cost is cubic.
MOST_LEARNED = 400
# A space of so many architectures is scored whole.
ENUMERABLE = 30_000
# Where nothing has to be evaluated to be known, this much is searched.
GENERATIONS_KNOWN = 60


class Guided(Algorithm):
    """Sequential model-based search (in the manner of LINAS, Cummings et al. 2022, and of hypervolume
    improvement with a believer, Ponweiser et al. 2008).

    A first fifth of the budget (at most `n_first`) is spread over the sizes of the space. Then, again and
    again: a Gaussian process learns from what was evaluated, evolution by prediction searches the space, and
    a batch (a twelfth of the budget) is evaluated for real. Two thirds of it are the predicted points that
    add most to the hypervolume, each taken as if it had come true before the next one is chosen; the rest are
    those that would add most if they were one standard deviation better than predicted.

    It ends when the budget is spent, or when the hypervolume has grown by less than `growth` (a fraction)
    over the last `patience` evaluations.
    """

    def __init__(
        self, *, n_first: int = 24, generations: int = 12, growth: float = 1e-3, patience: int = 36
    ) -> None:
        self.n_first, self.generations = n_first, generations
        self.growth, self.patience = growth, patience

    def search(self, problem: Problem, rng: np.random.Generator) -> None:
        if not problem.unknown:
            self._search_known(problem, rng)
            return
        encoding = Encoding(problem.space, problem.sizes)
        problem.evaluate(_first(problem, int(np.clip(problem.budget // 5, 4, self.n_first)), rng))
        batch = int(np.clip(problem.budget // 12, 2, 12))
        volumes = [(problem.n_evaluated, problem.hypervolume())]
        while not problem.is_used_up:
            with threadpool_limits(1, "blas"):  # sums in another order would choose others
                models = _learn(problem, encoding)
                pool = self._pool(problem, models, rng)
                chosen = _choose(problem, pool, models, min(batch, problem.budget - problem.n_evaluated))
            if not len(chosen):
                break
            problem.evaluate(chosen)
            volumes.append((problem.n_evaluated, problem.hypervolume()))
            if self._has_stalled(volumes):
                break

    def _has_stalled(self, volumes: list[tuple[int, float]]) -> bool:
        """Of (evaluations, hypervolume) after each batch."""
        n_now, now = volumes[-1]
        before = [volume for n, volume in volumes if n <= n_now - self.patience]
        return bool(before) and 0 < now <= before[-1] * (1 + self.growth)

    def _pool(self, problem: Problem, models: dict[str, Surrogate], rng: np.random.Generator) -> Pool:
        """What is worth considering, none of it evaluated yet."""

        def estimates(codes: Codes) -> dict[str, Floats]:
            return {name: model.predict(codes) for name, model in models.items()}

        if problem.space.log10_size <= math.log10(ENUMERABLE):
            everything = _unseen(problem, score(problem, enumerate_codes(problem.space), estimates))
            return best_of(everything, 2_000, rng)
        start = problem.space.encode_all(c.architecture for c in problem.front())
        return _unseen(problem, evolve(problem, estimates, start, rng, generations=self.generations))

    def _search_known(self, problem: Problem, rng: np.random.Generator) -> None:
        """Everything is known without evaluating: evolution finds the front, which is then looked at."""
        problem.evaluate(extremes(problem.space))
        nothing: Estimates = lambda codes: {}  # noqa: E731
        if problem.space.log10_size <= math.log10(ENUMERABLE):
            pool = score(problem, enumerate_codes(problem.space), nothing)
        else:
            start = extremes(problem.space)
            pool = evolve(problem, nothing, start, rng, generations=GENERATIONS_KNOWN, archive=2_000)
        pool = best_of(pool, problem.budget - problem.n_evaluated, rng)
        problem.evaluate(pool.codes)


def _first(problem: Problem, n: int, rng: np.random.Generator) -> Codes:
    """Both extremes, then half of every size and half that fill the space."""
    space = problem.space
    ends = extremes(space)
    n = max(0, n - len(ends))
    sized = levelled(space, n - n // 2, rng)
    known = [space.decode(row) for row in np.concatenate([ends, sized])]
    filling = space.encode_all(itertools.islice(space_filling(space, rng, known), n // 2))
    return np.concatenate([ends, sized, filling])


def _learn(problem: Problem, encoding: Encoding) -> dict[str, Surrogate]:
    """A model of each value that only an evaluation gives; errors near the front count most."""
    candidates = list(problem.candidates.values())
    points, _ = problem.evaluated()
    ranked = fronts(points, MOST_LEARNED)
    rank = np.concatenate([np.full(len(front), i) for i, front in enumerate(ranked)])
    kept = np.concatenate(ranked)[:MOST_LEARNED]
    codes = problem.space.encode_all(candidates[i].architecture for i in kept)
    values = problem.values_of([candidates[i] for i in kept])
    weights = 1.0 / (1 + rank[:MOST_LEARNED])
    transforms = {"accuracy": ACCURACY, "latency": LATENCY}
    return {
        name: fit_surrogate(encoding, codes, values[name], _fitting(transforms[name], values[name]), weights)
        for name in problem.unknown
    }


def _fitting(transforms: tuple[Transform, ...], values: Floats) -> tuple[Transform, ...]:
    """A stand-in need not be a fraction."""
    return transforms if float(values.max()) <= 1 or len(transforms) == 1 else transforms[:1]


def _unseen(problem: Problem, pool: Pool) -> Pool:
    seen = set(map(tuple, problem.space.encode_all(problem.candidates).tolist()))
    fresh = np.array([tuple(row) not in seen for row in pool.codes.tolist()], dtype=bool)
    return Pool(pool.codes[fresh], pool.points[fresh], pool.excess[fresh])


def _choose(problem: Problem, pool: Pool, models: dict[str, Surrogate], n: int) -> Codes:
    """The batch to evaluate, shape (<= n, n_slots)."""
    if not len(pool.codes):
        return pool.codes
    reference = problem.reference()
    points, excess = problem.evaluated()
    front = points[excess == 0]
    front = front[nondominated(front)] if len(front) else front
    hopeful, doubt = _hopeful(problem, pool, models)
    n_sure = n - n // 3
    chosen: list[int] = []
    for source in [pool] * n_sure + [hopeful] * (n - n_sure):
        free = np.setdiff1d(np.arange(len(pool.codes)), chosen)
        if not len(free):
            break
        best = _most_added(reference.normalised(front), reference.normalised(source.points[free]))
        best[source.excess[free] > 0] = 0.0
        if best.max() > 1e-9:
            place = int(free[np.argmax(best)])
            front = np.concatenate([front, source.points[[place]]])
        elif (pool.excess[free] == 0).any():  # nothing is better than what is known: where it is least sure
            place = int(free[np.argmax(np.where(pool.excess[free] == 0, doubt[free], -1.0))])
        else:
            place = int(free[np.argmin(hopeful.excess[free])])
        chosen.append(place)
    return pool.codes[chosen]


def _hopeful(problem: Problem, pool: Pool, models: dict[str, Surrogate]) -> tuple[Pool, Floats]:
    """The pool as it would be one standard deviation better, and its doubt in units of each model's error."""
    estimates: dict[str, Floats] = {}
    doubt = np.zeros(len(pool.codes))
    for name, model in models.items():
        deviation = model.deviation(pool.codes)
        sign = -1.0 if name == "latency" else 1.0
        estimates[name] = model.predict(pool.codes) + sign * deviation
        doubt += deviation / max(model.loo_error, 1e-12)
    return score(problem, pool.codes, lambda codes: estimates), doubt


def _most_added(front: Floats, points: Floats) -> Floats:
    """What each of `points` (n, n_objectives) alone would add to the hypervolume of `front`, all scaled to
    the unit box."""
    from pymoo.indicators.hv import HV

    volume = HV(ref_point=np.ones(points.shape[1]))
    inside = front[(front < 1).all(axis=1)]
    before = float(volume(inside)) if len(inside) else 0.0
    result = np.zeros(len(points))
    is_dominated = np.array([bool((inside <= point).all(axis=1).any()) for point in points])
    is_inside = np.asarray((points < 1).all(axis=1))
    for i in np.flatnonzero(is_inside & ~is_dominated):  # the others add nothing
        result[i] = float(volume(np.concatenate([inside, points[i : i + 1]]))) - before
    return result
