from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from supernet import OvnasError
from supernet.study import Study
from supernet.study_model import make_model
from supernet.weights import load_start, load_weights

SHIPPED = Path(__file__).parents[2] / "benchmarks/weights/cifar10-mobilenet_v2.safetensors"


def linear() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_what_does_not_fit_is_named(tmp_path, suffix):
    model = linear()
    state = dict(model.state_dict())
    del state["0.bias"], state["1.num_batches_tracked"]  # counters may be missing
    state["0.weight"], state["head.bias"] = torch.zeros(2, 2), torch.zeros(1)
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(OvnasError) as caught:
        load_weights(model, path)
    for part in ("missing: 0.bias;", "unknown: head.bias;", "of another shape: 0.weight", path.name):
        assert part in str(caught.value)
    assert "num_batches_tracked" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_shipped_weights_fit_their_study():
    model = make_model(Study.load("cifar10"))
    load_weights(model, SHIPPED)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32, torch.int64}
    with torch.no_grad():
        logits = model.eval()(torch.zeros(1, 3, 32, 32))
    assert logits.shape == (1, 10)
    assert logits.isfinite().all()


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_what_training_scripts_save_is_unwrapped(tmp_path, randomise, wrapper, prefix):
    model, other = linear(), randomise(linear(), 1)
    state = {prefix + name: value for name, value in other.state_dict().items()}
    torch.save({"epoch": 3, wrapper: state, "optimizer": {"lr": 0.1}}, tmp_path / "weights.pth")
    load_weights(model, tmp_path / "weights.pth")
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


def test_an_own_name_is_no_wrapper(tmp_path, randomise):
    def make() -> nn.Module:
        return nn.ModuleDict({"module": linear()})

    model, other = make(), randomise(make(), 1)
    torch.save(other.state_dict(), tmp_path / "weights.pth")
    load_weights(model, tmp_path / "weights.pth")
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


def classifier(n_classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, n_classes))


@pytest.mark.parametrize("head", ["other classes", "none", "the same classes"])
def test_a_start_has_all_but_the_last_layer(tmp_path, randomise, head):
    other = randomise(classifier(3 if head == "the same classes" else 7), 1)
    state = {k: v for k, v in other.state_dict().items() if head != "none" or not k.startswith("2.")}
    save_file(state, tmp_path / "weights.safetensors")
    model = classifier(3)
    own = {name: value.clone() for name, value in model.state_dict().items()}
    assert load_start(model, tmp_path / "weights.safetensors") == ["2.bias", "2.weight"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, own[name] if name.startswith("2.") else state[name])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"0.bias": None}, "missing: 0.bias"),
        ({"0.weight": torch.zeros(5, 2)}, "of another shape: 0.weight"),
        ({"fc.weight": torch.zeros(7, 3)}, "unknown: fc.weight"),
    ],
)
def test_a_start_that_does_not_fit_elsewhere_is_an_error(tmp_path, change, fault):
    state = {**classifier(7).state_dict(), **change}
    save_file({k: v for k, v in state.items() if v is not None}, tmp_path / "weights.safetensors")
    with pytest.raises(OvnasError, match=rf"does not fit the model, its last layer \(2\) aside: {fault}$"):
        load_start(classifier(3), tmp_path / "weights.safetensors")


class Trap:
    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_a_pth_file_is_not_run(tmp_path):
    sprung, path = tmp_path / "sprung", tmp_path / "weights.pth"
    torch.save({**linear().state_dict(), "extra": Trap(sprung)}, path)
    with pytest.raises(OvnasError, match=r"weights\.pth .*is not loaded; save model\.state_dict\(\) alone"):
        load_weights(linear(), path)
    assert not sprung.exists()
    torch.load(path, weights_only=False)  # the trap does work
    assert sprung.is_dir()


@pytest.mark.parametrize(
    "value",
    [torch.zeros(3), [1, 2], {1: torch.zeros(1)}, {"0.weight": 3, "0.bias": None}, 5],
    ids=["tensor", "list", "numbered", "numbers", "number"],
)
def test_a_pth_file_of_something_else_is_an_error(tmp_path, value):
    torch.save(value, tmp_path / "weights.pth")
    with pytest.raises(OvnasError, match=r"weights\.pth"):
        load_weights(linear(), tmp_path / "weights.pth")


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff no weights", None])
def test_an_unreadable_file_is_an_error(tmp_path, name, content):
    if content is None:
        (save_file if name.endswith("safetensors") else torch.save)(linear().state_dict(), tmp_path / name)
        content = (tmp_path / name).read_bytes()[:-40]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OvnasError, match=name):
        load_weights(linear(), tmp_path / name)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(OvnasError, match=r"there is no weights file .*weights\.pth"):
        load_weights(linear(), tmp_path / "weights.pth")
