from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from search.algorithms.exhaustive import Exhaustive, enumerate_codes
from search.problem import Problem
from supernet import OvnasError


def test_every_architecture_once(space, all_codes):
    found = enumerate_codes(space)
    np.testing.assert_array_equal(np.unique(found, axis=0), all_codes(space))
    assert len(found) == len(all_codes(space)) == round(10**space.log10_size)


def test_a_space_above_the_limit_is_refused_with_both_numbers(space, quality, latency, rng):
    size = round(10**space.log10_size)
    problem = Problem(space, quality, latency, 100)
    message = rf"needs {size:,} evaluations, but its limit is 100; give --evaluations {size}"
    with pytest.raises(OvnasError, match=message):
        Exhaustive().search(problem, rng)
    assert quality.asked == []


def test_a_space_beyond_all_numbers_is_refused():
    for log10_size in (6.5, 400.0):
        with pytest.raises(OvnasError, match=rf"needs 10\^{log10_size} evaluations.*; take guided"):
            Exhaustive().require(SimpleNamespace(log10_size=log10_size), 100)


def test_its_front_is_the_spaces(space, quality, latency, rng, all_codes, hypervolume):
    size = round(10**space.log10_size)
    problem = Problem(space, quality, latency, size)
    Exhaustive().search(problem, rng)
    codes = all_codes(space)
    points = list(zip(latency.predict_codes(codes), quality.of_codes(codes), strict=True))
    worst = (max(p[0] for p in points) + 1, min(p[1] for p in points) - 1)
    found = [(c.latency_us, c.quality) for c in problem.front()]
    assert hypervolume(found, worst) == pytest.approx(hypervolume(points, worst))
