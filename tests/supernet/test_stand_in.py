"""What is measured in place of a trained network has its operations."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import supernet
from supernet import SpaceSection, Study
from supernet.int8 import quantize, to_openvino
from supernet.sliced import SlicedGraphs
from supernet.stand_in import fill_trivial
from supernet.study_model import example_input, make_model, make_network, make_stand_in
from tests.supernet.families import FAMILIES


def operations(model) -> Counter[str]:
    return Counter(node.get_type_name() for node in model.get_ops() if node.get_type_name() != "Constant")


def int8(model: nn.Module, example: torch.Tensor):
    network = supernet.generate(model, example, SpaceSection())
    return quantize(to_openvino(network.extract(network.space.largest), example), torch.cat([example] * 2))


@pytest.mark.parametrize("name", ["mobilenet_v3", "densenet", "convnext", "resnet"])
def test_a_stand_in_has_the_operations_of_a_trained_network(name, randomise):
    family = FAMILIES[name]
    torch.manual_seed(0)
    fresh = family.make().eval()
    example = torch.randn(family.shape, generator=torch.Generator().manual_seed(1))
    trained = operations(int8(randomise(copy.deepcopy(fresh)), example))
    assert operations(int8(copy.deepcopy(fresh), example)) != trained  # or there is nothing to mend
    assert operations(int8(fill_trivial(fresh), example)) == trained


def test_profiling_measures_what_is_exported(write_study, tmp_path, randomise):
    """The sliced graph of a study's stand-in, and the road of a finalist: extracted, quantised, corrected."""
    study = Study.load(str(write_study(tmp_path)))
    example = example_input(study)
    samples = torch.randn(4, *study.model.input_shape, generator=torch.Generator().manual_seed(0))
    graphs = SlicedGraphs(make_network(study), example, samples)
    trained = supernet.generate(randomise(make_model(study)), example, study.space)
    for architecture in (trained.space.largest, trained.space.smallest):
        exported = quantize(to_openvino(trained.extract(architecture), example), samples, half_range=True)
        assert operations(graphs.model(architecture)) == operations(exported)


def test_only_what_is_one_number_is_moved():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.PReLU(4), nn.LayerNorm(2))
    before = copy.deepcopy(model.state_dict())
    again = copy.deepcopy(model)
    after = fill_trivial(model).state_dict()
    assert torch.equal(after["0.weight"], before["0.weight"])
    for name in ("1.weight", "1.bias", "1.running_mean", "1.running_var", "2.weight", "3.weight", "3.bias"):
        assert len(after[name].unique()) == after[name].numel(), name
        assert (after[name] - before[name]).abs().max() <= 0.3
    assert all(torch.equal(value, after[name]) for name, value in fill_trivial(again).state_dict().items())


def test_a_trained_model_stays_as_it_is(randomise):
    model = randomise(nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4)))
    nn.init.zeros_(model[0].bias)  # by the author's will
    before = copy.deepcopy(model.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in fill_trivial(model).state_dict().items())


def test_named_weights_stay_as_they_are(write_study, tmp_path, randomise):
    """A study without data exports them."""
    study = Study.load(str(write_study(tmp_path)))
    state = randomise(make_model(study)).state_dict()
    for name in state:
        if name.endswith(("bias", "running_mean")):
            state[name].zero_()
    save_file(state, tmp_path / "own.safetensors")
    named = dataclasses.replace(study.model, weights=str(tmp_path / "own.safetensors"))
    found = make_stand_in(dataclasses.replace(study, model=named)).state_dict()
    assert all(torch.equal(value, found[name]) for name, value in state.items())


def test_layers_that_know_no_shape_yet_are_left_alone():
    model = nn.Sequential(nn.LazyConv2d(4, 1), nn.BatchNorm2d(4))
    assert len(fill_trivial(model)[1].weight.unique()) == 4
