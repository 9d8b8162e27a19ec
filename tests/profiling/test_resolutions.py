"""Several input resolutions: a graph and a plan for each."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter

import numpy as np
import pytest

from profiling.coverage import space_filling
from profiling.kernel import read_kernels
from profiling.plan import Plan
from profiling.target import compile_model
from supernet import quantize, to_openvino
from supernet.resized import images_of


@pytest.fixture
def plan(sized_bench) -> Plan:
    return sized_bench.plan


@pytest.fixture
def architectures(plan):
    rng = np.random.default_rng(0)
    return [
        dataclasses.replace(plan.space.sample(rng), resolution=(side,)) for side in plan.space.resolutions
    ]


def test_sliced_graphs_run_the_kernels_of_the_slow_road(
    sized_network, sized_graphs, sized_images, plan, architectures, known
):
    for architecture in architectures:
        example, samples = (images_of(plan.space, architecture, x) for x in (sized_images[:1], sized_images))
        plain = to_openvino(sized_network.extract(architecture), example)
        slow = read_kernels(compile_model(quantize(plain, samples, fast=True), known.target))
        model = sized_graphs.model(architecture)
        assert list(model.inputs[0].shape) == [1, 3, *2 * architecture.resolution]
        fast = read_kernels(compile_model(model, known.target))
        assert [(i.kernel, i.exec_type, i.layout) for i in fast] == [
            (i.kernel, i.exec_type, i.layout) for i in slow
        ]
        assert plan.of(architecture) == [item.kernel for item in fast]


def test_macs_of_the_plan_are_those_of_the_space(plan, rng):
    for architecture in (plan.space.sample(rng) for _ in range(60)):
        assert sum(kernel.macs for kernel in plan.of(architecture)) == plan.space.macs(architecture)


def test_the_plan_round_trips(plan, architectures):
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert [again.of(a) for a in architectures] == [plan.of(a) for a in architectures]


def test_a_plan_of_one_resolution_says_nothing_of_it(tiny_plan):
    assert '"resolution"' not in json.dumps(tiny_plan.to_json())


def test_prepared_networks_execute_what_was_planned(sized_bench, architectures):
    for architecture in architectures:
        prepared = sized_bench.prepare(architecture)
        assert prepared.is_planned
        layers = [k.layer for k in prepared.kernels if k.kernel.macs]
        assert set(layers) <= {layer.name for layer in sized_bench.plan.space.layers}
        assert np.isfinite(sized_bench.timer(prepared.model).run(2)).all()


def test_what_fills_the_space_has_all_resolutions_alike(plan, rng):
    chosen = itertools.islice(space_filling(plan.space, rng), 30)
    counts = Counter(architecture.resolution for architecture in chosen)
    assert counts.keys() == {(16,), (20,), (24,)}
    assert min(counts.values()) >= 6
