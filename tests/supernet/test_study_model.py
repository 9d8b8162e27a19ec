from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from supernet import OvnasError, Study
from supernet.study_model import example_input, make_model


@pytest.fixture
def study(write_study, tmp_path) -> Study:
    return Study.load(str(write_study(tmp_path / "study")))


def equal(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_example_input_is_fixed(study):
    assert example_input(study, batch=4).shape == (4, 3, 16, 16)
    assert torch.equal(example_input(study), example_input(study))


def test_the_model_is_the_same_each_time(study):
    assert equal(make_model(study), make_model(study))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_of_both_kinds(study, tmp_path, randomise, suffix):
    state = randomise(make_model(study), 7).state_dict()
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    changed = dataclasses.replace(study, model=dataclasses.replace(study.model, weights=str(path)))
    assert equal(make_model(changed), randomise(make_model(study), 7))


@pytest.mark.parametrize(
    ("factory", "part"),
    [
        ("no_such_module:make", "No module named 'no_such_module'"),
        ("ovnas_tests_factory:missing", "missing"),
        ("ovnas_tests_factory:make_nothing", "must return a torch.nn.Module"),
        ("ovnas_tests_factory:value", "ovnas_tests_factory:value"),
        ("ovnas_tests_factory:value.", "ovnas_tests_factory:value."),
        ("builtins:dict", "must return a torch.nn.Module"),
    ],
)
def test_a_bad_factory_is_named(study, factory, part):
    changed = dataclasses.replace(study, model=dataclasses.replace(study.model, factory=factory))
    with pytest.raises(OvnasError) as caught:
        make_model(changed)
    assert "[model] factory" in str(caught.value)
    assert part in str(caught.value)
