from __future__ import annotations

import numpy as np
import pytest

from search.domination import Reference
from search.predicted import Pool, best_of, evolve, levelled, score
from search.problem import Problem
from search.quality import Macs
from search.sizes import Sizes
from search.surrogate import ACCURACY, Encoding, fit_surrogate


def test_levels_run_from_the_smallest_to_the_largest(space, rng):
    codes = levelled(space, 400, rng)
    np.testing.assert_array_equal(codes, space.canonical(codes))
    macs = space.macs_of(codes)
    tenth = [part.mean() for part in np.array_split(macs, 4)]
    assert tenth == sorted(tenth)
    assert macs.min() < 0.1 * space.macs(space.largest)
    assert macs.max() > 0.9 * space.macs(space.largest)


def test_evolution_by_prediction_finds_the_front(space, latency, rng, all_codes):
    problem = Problem(space, Macs(space), latency, 10)
    pool = evolve(problem, lambda codes: {}, all_codes(space)[:2], rng, generations=10, offspring=500)
    whole = score(problem, all_codes(space), lambda codes: {})
    found, best = pool.points, whole.points
    reference = Reference(tuple(best.max(axis=0)), tuple(best.min(axis=0)))
    assert reference.hypervolume(found) >= 0.999 * reference.hypervolume(best)
    np.testing.assert_array_equal(pool.codes, space.canonical(pool.codes))
    assert len(np.unique(pool.codes, axis=0)) == len(pool.codes)


@pytest.mark.parametrize("n", [1, 3, 7, 20, 100])
def test_the_best_are_the_feasible_fronts_then_the_nearest(rng, n):
    points, excess = rng.random((40, 2)), np.where(rng.random(40) < 0.5, 0.0, rng.random(40))
    pool = Pool(np.arange(40)[:, None], points, excess)
    found = best_of(pool, n, rng)
    assert len(found.codes) == min(n, 40)
    n_feasible = int((excess == 0).sum())
    assert (found.excess[: min(n, n_feasible)] == 0).all()
    rest = found.excess[n_feasible:]
    assert list(rest) == sorted(excess[excess > 0])[: len(rest)]


def test_scores_of_many_are_those_of_each(space, quality, latency, rng):
    problem = Problem(space, quality, latency, 10)
    seen = np.unique(space.sample_codes(60, rng), axis=0)
    values = 0.9 * quality.of_codes(seen) / quality.of_codes(seen).max()
    model = fit_surrogate(Encoding(space, Sizes.of_space(space)), seen, values, ACCURACY)
    many = space.sample_codes(20_000, rng)
    pool = score(problem, many, lambda codes: {"accuracy": model.predict(codes)})
    assert pool.points.shape == (20_000, 2)
    for i in (0, 7, 19_999):
        one = many[i : i + 1]
        expected = [-model.predict(one)[0], latency.predict_codes(one)[0]]
        np.testing.assert_allclose(pool.points[i], expected, rtol=1e-5)
