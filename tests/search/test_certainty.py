from __future__ import annotations

import numpy as np
import pytest

from search.certainty import change_of, error_of_share


def test_the_error_of_a_share():
    assert error_of_share(0.5, 10_000) == pytest.approx(0.005, rel=1e-3)
    assert 0 < error_of_share(1.0, 360) < 0.005  # all right, and still not certain
    assert error_of_share(1.0, 360) == pytest.approx(error_of_share(0.0, 360))


@pytest.mark.parametrize(("p", "q", "both"), [(0.92, 0.9, 0.85), (0.9, 0.9, 0.89), (0.99, 0.985, 0.98)])
def test_the_error_of_a_change_is_its_spread(p, q, both):
    """Over many test splits; images that both get right, or both wrong, say nothing."""
    rng = np.random.default_rng(0)
    shares = [both, p - both, q - both, 1 - p - q + both]
    found, errors = [], []
    for _ in range(400):
        kinds = rng.choice(4, 1_000, p=shares)
        change, error = change_of(np.isin(kinds, (0, 1)), np.isin(kinds, (0, 2)))
        found.append(change)
        errors.append(error)
    assert np.mean(found) == pytest.approx(p - q, abs=0.002)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.15)


def test_one_image_is_no_difference():
    before = np.ones(360, dtype=bool)
    hits = before.copy()
    hits[3] = False
    change, error = change_of(hits, before)
    assert change == -1 / 360
    assert error > 1 / 360
    assert change_of(before, before)[1] > 0
