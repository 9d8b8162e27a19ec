from __future__ import annotations

import itertools

import numpy as np
import pytest

from search.fastest import fastest_within
from supernet.errors import OvnasError


@pytest.fixture(scope="module")
def everything(tiny_network, all_codes):
    return all_codes(tiny_network.space)


def latency(codes):
    """Neither separable nor monotonous in the choices."""
    weights = np.linspace(1, 2, codes.shape[1])
    return 10 + codes @ weights + 3 * (codes[:, 0] == 1) * (codes[:, -1] == 0) + np.sin(codes.sum(axis=1))


def test_the_optimum_of_a_space_small_enough_to_enumerate(tiny_network, everything, rng):
    space = tiny_network.space
    macs = space.macs_of(everything)
    most = float(np.quantile(macs, 0.6))
    inside = (macs >= 0.8 * most) & (macs <= most)
    assert 10 < inside.sum() < len(everything)
    found = fastest_within(space, latency, space.macs_of, (0.8 * most, most), rng, keep=3, differing=1)
    best = np.sort(latency(everything[inside]))[:3]
    np.testing.assert_allclose(found.latency_us, best)
    np.testing.assert_allclose(latency(found.codes), found.latency_us)
    assert ((found.macs >= 0.8 * most) & (found.macs <= most)).all()
    assert len(np.unique(found.codes, axis=0)) == 3


def test_what_is_returned_is_no_network_s_twin(tiny_network, rng):
    space = tiny_network.space
    found = fastest_within(space, latency, space.macs_of, (0, 1e12), rng, keep=4, differing=2)
    for one, other in itertools.combinations(found.codes, 2):
        assert (one != other).sum() >= 2


def test_the_same_seed_finds_the_same(tiny_network):
    space = tiny_network.space
    limits = (0.0, float(space.macs(space.largest)))
    first, second = (
        fastest_within(space, latency, space.macs_of, limits, np.random.default_rng(1)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.codes, second.codes)


def test_limits_that_nothing_meets(tiny_network, rng):
    space = tiny_network.space
    with pytest.raises(OvnasError, match="no architecture between 0 and 0 million MACs"):
        fastest_within(space, latency, space.macs_of, (0, 1), rng)
