"""A small member of every family, held against the model and against itself."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

import supernet
from supernet.checks import check
from supernet.counting import uncounted_macs
from tests.supernet.families import FAMILIES


@pytest.fixture(scope="module", params=FAMILIES)
def member(request, randomise):
    family = FAMILIES[request.param]
    torch.manual_seed(0)
    model = randomise(family.make())
    example = torch.randn(family.shape, generator=torch.Generator().manual_seed(1))
    return family, model, example, supernet.generate(model, example, family.section)


def test_every_check_holds(member):
    _, model, example, network = member
    with torch.no_grad():
        expected = model(example)
    found = check(network, expected, example, n=10, openvino=False)
    assert found.n_architectures >= 5
    assert found.faults == ()


def test_torch_counts_no_more_macs_than_the_space(member):
    _, _, example, network = member
    assert uncounted_macs(network, example) == 0


@pytest.mark.slow
def test_every_check_holds_in_openvino(member):
    _, model, example, network = member
    with torch.no_grad():
        expected = model(example)
    assert check(network, expected, example, n=10).faults == ()


def test_what_is_elastic(member):
    family, _, _, network = member
    kinds = [slot.kind for slot in network.space.slots]
    assert kinds.count("depth") == family.n_runs
    assert kinds.count("kernel") == family.n_kernels
    fixed = {
        group.name: group.reason
        for group in network.space.groups
        if group.slot is None and "the network's output" not in group.reason
    }
    assert fixed.keys() == family.fixed.keys(), fixed
    for name, word in family.fixed.items():
        assert word in fixed[name]
    assert network.space.macs(network.space.smallest) < 0.6 * network.space.macs(network.space.largest)


def test_a_sub_network_is_the_network_with_zeros(member):
    """The oracle for slices, splits, shuffles and crops: the whole network with zeros for all weights that
    the sub-network has not."""
    family, _, example, network = member
    if family.make is FAMILIES["convnext"].make:
        pytest.skip("a LayerNorm's statistics are of the channels that are there")
    space, rng = network.space, np.random.default_rng(2)
    for architecture in [space.smallest, space.sample(rng), space.sample(rng)]:
        whole = copy.deepcopy(network)
        erase(whole, architecture)
        blocks_only = dataclasses.replace(space.largest, depth=architecture.depth)
        with torch.no_grad(), network.activated(architecture), whole.activated(blocks_only):
            for actual, expected in zip(flat(network(example)), flat(whole(example)), strict=True):
                torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


def erase(network, architecture):
    """Sets everything to zero that is no part of the architecture."""
    units, sides = network.space.units(architecture), network.space.kernels(architecture)
    for name, dims in network.parameter_dims.items():
        path, _, leaf = name.rpartition(".")
        value = getattr(network.module.get_submodule(path), leaf).data
        for axis, dim in enumerate(dims):
            kept = [
                torch.arange(n) < segment.per_unit * (1 if segment.group is None else units[segment.group])
                for segment in dim
                for n in [segment.per_unit * network._full_units(segment.group)]
            ]
            value *= torch.cat(kept).view([-1 if i == axis else 1 for i in range(value.ndim)])
    for path, slot in network.kernels.items():
        weight = network.module.get_submodule(path).weight.data
        for axis in range(2, weight.ndim):
            distance = torch.arange(weight.shape[axis]) - weight.shape[axis] // 2
            kept = distance.abs() <= sides[slot] // 2
            weight *= kept.view([-1 if i == axis else 1 for i in range(weight.ndim)])


def flat(value):
    return value if isinstance(value, tuple) else (value,)


def test_architectures_read_back(member):
    _, _, _, network = member
    rng = np.random.default_rng(0)
    for _ in range(5):
        architecture = network.space.sample(rng)
        assert supernet.Architecture.parse(str(architecture)) == architecture
        assert network.space.encode(architecture) == network.space.encode(architecture)
