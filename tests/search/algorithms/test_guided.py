from __future__ import annotations

import numpy as np
import pytest

from search.algorithms.guided import Guided
from search.problem import Problem
from search.quality import Macs


def test_it_ends_when_the_hypervolume_stops_growing(space, quality, latency, rng):
    problem = Problem(space, quality, latency, 2_000)
    Guided(growth=0.5, patience=20).search(problem, rng)
    assert problem.n_evaluated < 100  # the first ones, and a few batches


def test_a_measured_latency_is_learned_too(space, quality, latency, rng, hypervolume, all_codes):
    """Only what is evaluated is ever asked for its latency."""
    asked = []

    class Bench:
        def predict_codes(self, codes):
            asked.extend(map(tuple, codes))
            return latency.predict_codes(codes)

    budget = 80
    problem = Problem(space, quality, Bench(), budget, is_latency_known=False)
    assert problem.unknown == ("accuracy", "latency")
    Guided().search(problem, rng)
    assert len(set(asked)) == len(asked) == problem.n_evaluated <= budget
    assert problem.n_predicted == 0
    codes = all_codes(space)
    points = list(zip(latency.predict_codes(codes), quality.of_codes(codes), strict=True))
    worst = (max(p[0] for p in points) * 1.01, min(p[1] for p in points) * 0.99)
    found = hypervolume([(c.latency_us, c.quality) for c in problem.front()], worst)
    assert found >= 0.95 * hypervolume(points, worst)


def test_what_is_known_is_searched_without_a_model(space, latency, rng, all_codes):
    """A stand-in costs nothing, so the front is the space's."""
    problem = Problem(space, Macs(space), latency, 500)
    assert problem.unknown == ()
    Guided().search(problem, rng)
    codes = all_codes(space)
    points = problem.points(problem.known_values(codes))
    whole = problem.reference().hypervolume(points)
    assert problem.hypervolume() == pytest.approx(whole, rel=1e-6)
    assert np.isfinite(whole)
