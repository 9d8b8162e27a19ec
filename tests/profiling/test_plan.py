from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

import supernet
from profiling.kernel import read_kernels
from profiling.plan import Plan, make_plan
from profiling.target import compile_model
from supernet import OvnasError, SpaceSection, quantize, to_openvino
from supernet.sliced import SlicedGraphs


@pytest.fixture(scope="module")
def plan(specimen, known) -> Plan:
    graphs = specimen.graphs
    return make_plan(graphs, read_kernels(compile_model(graphs.model(graphs.space.largest), known.target)))


def some(space, n, seed=0):
    rng = np.random.default_rng(seed)
    return [space.largest, space.smallest, *(space.sample(rng) for _ in range(n))]


def test_planned_kernels_are_those_executed(specimen, compile_kernels, plan):
    """In order; architectures with and without dropped blocks."""
    architectures = some(specimen.network.space, 8)
    for architecture in architectures:
        assert plan.of(architecture) == [item.kernel for item in compile_kernels(architecture)]
    assert len({len(plan.of(a)) for a in architectures}) >= (3 if specimen.network.runs else 1)


@pytest.mark.slow
def test_planned_kernels_are_those_of_the_slow_road(specimen, compile_kernels, plan, known):
    """In order, with the implementations and layouts of the sliced graph."""
    for architecture in some(plan.space, 2, seed=3)[1:]:
        plain = to_openvino(specimen.network.extract(architecture), specimen.images[: specimen.batch])
        slow = read_kernels(compile_model(quantize(plain, specimen.images, fast=True), known.target))
        assert plan.of(architecture) == [item.kernel for item in slow], str(architecture)
        fast = compile_kernels(architecture)
        assert [(i.exec_type, i.layout) for i in fast] == [(i.exec_type, i.layout) for i in slow]


def test_macs_of_the_plan_are_those_of_the_space(specimen, plan):
    for architecture in some(plan.space, 200, seed=1):
        expected = specimen.batch * plan.space.macs(architecture)
        assert sum(kernel.macs for kernel in plan.of(architecture)) == expected


def test_layers_have_the_authors_names(specimen, plan):
    layers = [k.layer for k in plan.kernels if k.kernel.macs]
    assert sorted(layers) == sorted(layer.name for layer in plan.space.layers)
    blocks = {layer.name: layer.block for layer in plan.space.layers}
    assert all(k.block == blocks[k.layer] for k in plan.kernels if k.layer in blocks)


def test_round_trip(plan):
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert again.of(plan.space.smallest) == plan.of(plan.space.smallest)


@pytest.mark.parametrize("key", ["space", "kernels"])
def test_another_json_is_refused(plan, key):
    value = plan.to_json()
    for wrong in ({k: v for k, v in value.items() if k != key}, {**value, key: [{}]}, {**value, key: None}):
        with pytest.raises(OvnasError, match="not the JSON of a"):
            Plan.from_json(wrong)


def test_shapes_are_those_of_the_sized_kernels(plan, rng):
    codes = plan.space.sample_codes(5, rng)
    for planned in plan.kernels:
        for shape, row in zip(plan.shapes(planned, codes), codes, strict=True):
            if plan.space.alive(planned.block, row[None])[0]:
                assert planned.sized(*map(int, shape)) in plan.of(plan.space.decode(row))


def test_a_kernel_whose_channels_are_unknown_is_refused(specimen, known):
    graphs = specimen.graphs
    executed = read_kernels(compile_model(graphs.model(graphs.space.largest), known.target))
    place = next(i for i, item in enumerate(executed) if item.kernel.macs and item.sources[0] > 2)
    batch, channels, *rest = executed[place].out_shape
    executed[place] = dataclasses.replace(
        executed[place], originals=("unheard of",), out_shape=(batch, channels + 1, *rest)
    )
    with pytest.raises(OvnasError, match="cannot be told"):
        make_plan(graphs, executed)


def test_the_indices_of_a_pooling_have_its_channels(known, randomise):
    """Which is executed with two outputs where it rounds up; what reads the second is told as well."""
    pool = nn.MaxPool2d(3, 2, ceil_mode=True)
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), pool, nn.Conv2d(16, 8, 1), nn.Flatten())
    images = torch.randn(4, 3, 12, 12)
    network = supernet.generate(randomise(model), images[:1], SpaceSection(divisor=4))
    graphs = SlicedGraphs(network, images[:1], images)
    largest, smallest = (
        read_kernels(compile_model(graphs.model(a), known.target))
        for a in (network.space.largest, network.space.smallest)
    )
    plan = make_plan(graphs, largest)
    assert plan.of(network.space.smallest) == [item.kernel for item in smallest]


def test_a_reorder_of_the_plugins_own_goes_with_what_it_reads(tiny_graphs, tiny_plan, known):
    executed = read_kernels(compile_model(tiny_graphs.model(tiny_graphs.space.largest), known.target))
    blocks = [planned.block for planned in tiny_plan.kernels]
    for place in (blocks.index(None), next(i for i, block in enumerate(blocks) if block)):
        shape = executed[place].out_shape
        own = dataclasses.replace(
            executed[place], originals=(), sources=(place,), in_shape=shape, out_shape=shape
        )
        plan = make_plan(tiny_graphs, [*executed, own])
        assert plan.kernels[:-1] == tiny_plan.kernels
        assert plan.kernels[-1].block == blocks[place]
        assert plan.kernels[-1].inputs == plan.kernels[-1].outputs == tiny_plan.kernels[place].outputs
