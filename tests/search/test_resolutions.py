"""A space with several input resolutions, searched; its finalists, built."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from predictor.compiled import CompiledPredictor
from predictor.lookup import LookupPredictor
from predictor.network import Conditions, Network
from search.algorithms.registry import make_algorithm
from search.finalists import build
from search.layer_pictures import savings
from search.layers import layers_of_plan
from search.material import Material
from search.outcome import LayerTime
from search.problem import Candidate, Problem
from search.quality import Macs, ValidationAccuracy
from search.sizes import Sizes
from supernet.batchnorm import Reestimator, reestimate
from supernet.data import Splits
from supernet.pixels import resized
from supernet.training import accuracy

TARGET = {"mode": "latency", "threads": 1, "streams": 1, "batch": 1}
CONDITIONS = Conditions(1, 1, 2**15, 2**20, 2**25)


@pytest.fixture
def space(sized_network):
    return sized_network.space


@pytest.fixture
def splits(sized_images) -> Splits:
    images = TensorDataset(sized_images, torch.arange(8) % 5)
    return Splits(images, images, images, n_classes=5)


@pytest.fixture
def predictor(sized_bench, rng):
    plan = sized_bench.plan
    networks = [Network.planned(plan, plan.space.sample(rng), CONDITIONS) for _ in range(20)]
    times = [np.array([1.0 + 1e-4 * k.macs for k in n.kernels]) for n in networks]
    return LookupPredictor().fit(networks, np.array([t.sum() for t in times]), times)


def test_a_compiled_predictor_is_the_uncompiled_sum(sized_bench, predictor, all_codes):
    plan = sized_bench.plan
    codes = all_codes(plan.space)[::7]
    found = CompiledPredictor(plan, predictor, CONDITIONS).predict_codes(codes)
    expected = predictor.predict([Network.planned(plan, plan.space.decode(c), CONDITIONS) for c in codes])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_macs_and_parameters_of_many_are_those_of_one(sized_network, space, rng):
    codes, sizes = space.sample_codes(50, rng), Sizes.of_network(sized_network)
    np.testing.assert_array_equal(sizes.macs.predict_codes(codes), space.macs_of(codes))
    parameters = sizes.parameters.predict_codes(codes)
    for row, n in zip(codes[:4], parameters, strict=False):
        assert n == sum(p.numel() for p in sized_network.extract(space.decode(row)).parameters())


@pytest.mark.parametrize("name", ["random", "guided", "nsga2"])
def test_a_search_chooses_resolutions_too(name, sized_bench, predictor, space):
    latency = CompiledPredictor(sized_bench.plan, predictor, CONDITIONS)
    problem = Problem(space, Macs(space), latency, 40)
    make_algorithm(name).search(problem, np.random.default_rng(0))
    assert {a.resolution for a in problem.candidates} == {(16,), (20,), (24,)}
    for candidate in problem.candidates.values():
        assert candidate.macs == space.macs(candidate.architecture)


def test_accuracy_is_that_of_smaller_images(sized_network, space, splits, sized_images, tmp_path):
    weights = tmp_path / "weights"
    weights.write_bytes(b"")
    reestimator = Reestimator(sized_network, sized_images)
    quality = ValidationAccuracy(reestimator, splits, weights, tmp_path / "cache.sqlite")
    for side in space.resolutions:
        architecture = dataclasses.replace(space.smallest, resolution=(side,))
        module, images = sized_network.extract(architecture), resized(sized_images, side)
        reestimate(module, images)
        with torch.no_grad():
            expected = (module(images).argmax(1) == torch.arange(8) % 5).float().mean()
        assert quality.of(architecture) == pytest.approx(float(expected))


def test_a_finalist_takes_images_of_its_resolution(sized_network, space, splits, sized_images, tmp_path):
    reestimator = Reestimator(sized_network, sized_images)
    material = Material(
        sized_network, sized_network.module, splits, reestimator, sized_images, sized_images[:1], tmp_path
    )
    candidate = Candidate(space.smallest, 0.5, 10.0, space.macs(space.smallest))
    built = build(material, candidate, tmp_path, TARGET)
    assert list(built.exported.model.inputs[0].shape) == [1, 3, 16, 16]
    assert built.macs == candidate.macs
    module = sized_network.extract(space.smallest)
    images = resized(sized_images, 16)
    reestimate(module, images)
    assert built.top1_fp32 == accuracy(module, TensorDataset(images, torch.arange(8) % 5))
    assert (tmp_path / "architecture.txt").read_text().endswith("_r16\n")


def test_layers_of_another_resolution_keep_their_place(sized_bench, space):
    plan = sized_bench.plan
    smaller = dataclasses.replace(space.largest, resolution=(16,))
    value = layers_of_plan(plan, [smaller])
    before, after = (
        [LayerTime(**kernel) for kernel in network] for network in (value["baseline"], value["finalists"][0])
    )
    assert [kernel.index for kernel in before] == list(range(len(before)))
    rows = savings(before, after)
    for row in rows:
        if row.before.macs:
            assert row.after is not None
            assert row.after.layer == row.before.layer
            assert row.after.macs < row.before.macs or row.before.layer == "fc"
