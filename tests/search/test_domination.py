from __future__ import annotations

import itertools

import numpy as np
import pytest

from search.domination import Reference, fronts, nondominated


def brute(points: np.ndarray) -> set[tuple[float, ...]]:
    def dominated(p: np.ndarray) -> bool:
        return bool(((points <= p).all(axis=1) & (points < p).any(axis=1)).any())

    return {tuple(p) for p in points.tolist() if not dominated(np.array(p))}


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("n_objectives", [2, 3])
@pytest.mark.parametrize("n_values", [3, 1000])
def test_nondominated_by_brute_force(seed, n_objectives, n_values):
    points = np.random.default_rng(seed).integers(0, n_values, (70, n_objectives)).astype(float)
    found = points[nondominated(points)]
    assert {tuple(p) for p in found.tolist()} == brute(points)
    assert len(np.unique(found, axis=0)) == len(found)  # of equals, one


def test_of_equals_the_first():
    assert nondominated(np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 3.0]])).tolist() == [True, False, True]


def test_nothing_has_no_front():
    assert nondominated(np.empty((0, 2))).shape == nondominated(np.empty((0, 3))).shape == (0,)


def test_fronts_one_after_the_other():
    points = np.random.default_rng(0).random((50, 2))
    found = fronts(points, 50)
    assert sorted(np.concatenate(found)) == list(range(50))
    assert set(found[0]) == set(np.flatnonzero(nondominated(points)))
    for better, worse in itertools.pairwise(found):  # each of a later front is dominated by one before it
        for place in worse:
            assert (points[better] < points[place]).all(axis=1).any()
    assert [list(front) for front in fronts(points, 1)] == [list(found[0])]


def test_hypervolume_of_a_staircase():
    """Three steps in a box from (0, 0) to (10, 20): closed form."""
    reference = Reference(worst=(10.0, 20.0), best=(0.0, 0.0))
    points = np.array([(2.0, 16.0), (5.0, 10.0), (8.0, 2.0), (9.0, 19.0), (11.0, 0.0)])
    area = (5 - 2) * (20 - 16) + (8 - 5) * (20 - 10) + (10 - 8) * (20 - 2)
    assert reference.hypervolume(points) == pytest.approx(area / 200)


def test_hypervolume_in_three_dimensions():
    """By counting cells."""
    rng = np.random.default_rng(2)
    points = rng.integers(0, 5, (6, 3)).astype(float)
    cells = sum(
        bool((points <= np.array(cell)).all(axis=1).any()) for cell in itertools.product(range(5), repeat=3)
    )
    assert Reference((5.0,) * 3, (0.0,) * 3).hypervolume(points) == pytest.approx(cells / 125)


def test_nothing_inside_is_nothing():
    reference = Reference((1.0, 1.0), (0.0, 0.0))
    assert reference.hypervolume(np.array([[1.0, 0.0], [2.0, 2.0]])) == 0
    assert reference.hypervolume(np.empty((0, 2))) == 0
