from __future__ import annotations

import numpy as np
import pytest

from search.sizes import Sizes


@pytest.fixture(scope="module")
def sizes(tiny_network) -> Sizes:
    return Sizes.of_network(tiny_network)


@pytest.fixture
def architectures(space, rng):
    return [space.largest, space.smallest, *(space.sample(rng) for _ in range(12))]


def test_parameters_are_those_of_the_extracted_network(sizes, space, tiny_network, architectures):
    expected = [sum(p.numel() for p in tiny_network.extract(a).parameters()) for a in architectures]
    found = sizes.parameters.predict_codes(space.encode_all(architectures))
    np.testing.assert_array_equal(found, expected)


def test_macs_are_the_spaces(sizes, space, architectures):
    codes = space.encode_all(architectures)
    np.testing.assert_array_equal(sizes.macs.predict_codes(codes), space.macs_of(codes))


def test_bytes_are_one_a_weight_and_eight_a_channel(sizes, space, tiny_network, architectures):
    def expected(architecture) -> int:
        layers = [p for p in tiny_network.extract(architecture).parameters() if p.ndim > 1]
        return sum(p.numel() + 8 * p.shape[0] for p in layers)

    found = sizes.model_size.predict_codes(space.encode_all(architectures))
    np.testing.assert_array_equal(found, [expected(a) for a in architectures])


def test_without_a_network_parameters_are_the_weights(space, tiny_network, architectures):
    found = Sizes.of_space(space).parameters.predict_codes(space.encode_all(architectures))
    weights = [
        sum(p.numel() for p in tiny_network.extract(a).parameters() if p.ndim > 1) for a in architectures
    ]
    np.testing.assert_array_equal(found, weights)
