from __future__ import annotations

import numpy as np
import pytest
from torch import nn

import supernet
from search.sizes import Sizes
from supernet import SpaceSection


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


def test_kernels_count_as_they_are_cropped(tiny_images, rng):
    model = nn.Sequential(
        *(nn.Conv2d(3, 8, 7, 1, 3), nn.ReLU(), nn.Conv2d(8, 8, 5, 1, 2, groups=8), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)),
    )
    network = supernet.generate(model, tiny_images[:1], SpaceSection(divisor=4, kernel=(3, 5)))
    space, sizes = network.space, Sizes.of_network(network)
    codes = space.sample_codes(12, rng)
    assert len({space.decode(row).kernel for row in codes}) > 3
    np.testing.assert_array_equal(sizes.macs.predict_codes(codes), space.macs_of(codes))
    modules = [network.extract(space.decode(row)) for row in codes]
    expected = [sum(p.numel() for p in module.parameters()) for module in modules]
    np.testing.assert_array_equal(sizes.parameters.predict_codes(codes), expected)
    weights = [[p for p in module.parameters() if p.ndim > 1] for module in modules]
    expected = [sum(p.numel() + 8 * p.shape[0] for p in own) for own in weights]
    np.testing.assert_array_equal(sizes.model_size.predict_codes(codes), expected)
