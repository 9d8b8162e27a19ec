from __future__ import annotations

import dataclasses
import json
import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import supernet
from supernet import OvnasError, Study, checkpoint
from supernet.checkpoint import (
    example_input,
    load_pretrained,
    load_start,
    load_supernet,
    load_weights,
    make_model,
    make_network,
    read_card,
    save_pretrained,
    save_supernet,
    write_json,
)


@pytest.fixture
def study(write_study, tmp_path) -> Study:
    return Study.load(str(write_study(tmp_path / "study")))


@pytest.fixture
def folder(study, tmp_path, randomise):
    """A saved super-network whose weights are not its pre-trained model's."""
    folder = tmp_path / "runs" / "supernet"
    save_pretrained(randomise(make_model(study), 1), study, 0, folder)
    save_supernet(randomise(make_network(study), 2), study, folder, {"seed": 5})
    return folder


def equal(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_round_trip(study, folder, randomise):
    network, pretrained = load_supernet(study, folder)
    assert equal(pretrained, randomise(make_model(study), 1))
    assert equal(network, randomise(make_network(study), 2))
    assert not network.training
    assert not pretrained.training
    assert network.space == make_network(study).space
    card = read_card(study, folder)
    assert (card["schema_version"], card["study"], card["seed"]) == (1, "tiny", 5)
    assert {p.name for p in folder.iterdir()} == {
        "pretrained.safetensors",
        "supernet.safetensors",
        "supernet.json",
    }
    x = example_input(study, batch=3)
    with torch.no_grad():
        assert torch.equal(network(x), randomise(make_network(study), 2)(x))


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


def test_an_unfinished_start_is_taken_up_only_with_its_own_settings(study, write_study, tmp_path, randomise):
    model, kept = make_model(study), tmp_path / "kept"
    assert not load_pretrained(model, study, 0, kept)
    save_pretrained(randomise(make_model(study), 1), study, 0, kept)
    assert load_pretrained(model, study, 0, kept)
    assert equal(model, randomise(make_model(study), 1))
    assert not load_pretrained(model, study, 1, kept)
    for changed, is_taken in (({"pretrain_epochs": 7}, False), ({"epochs": 9}, True)):
        other = dataclasses.replace(study, train=dataclasses.replace(study.train, **changed))
        assert load_pretrained(model, other, 0, kept) == is_taken


def test_tied_weights_are_kept(study, tmp_path):
    layer = nn.Linear(3, 3)
    save_pretrained(nn.Sequential(layer, nn.ReLU(), layer), study, 0, tmp_path)
    other = nn.Linear(3, 3)
    load_weights(nn.Sequential(other, nn.ReLU(), other), tmp_path / "pretrained.safetensors")
    assert equal(layer, other)


def test_other_settings_are_named_with_both_values(write_study, folder, tmp_path):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    changed = Study.load(
        str(write_study(tmp_path / "study", space="max_dropped = 0", train="batch_size = 8"))
    )
    for function in (read_card, load_supernet):
        with pytest.raises(OvnasError) as caught:
            function(changed, folder)
        message = str(caught.value)
        assert "[space] max_dropped: -1 there, 0 now" in message
        assert "[train] batch_size: 64 there, 8 now" in message
        assert "epochs" not in message
        assert "--force" in message
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_settings_that_do_not_matter_may_change(write_study, folder, tmp_path):
    changed = Study.load(str(write_study(tmp_path / "study", search="evaluations = 3", target="batch = 2")))
    assert read_card(changed, folder)["seed"] == 5


def test_nothing_trained_names_the_command(study, tmp_path):
    assert read_card(study, tmp_path) is None
    with pytest.raises(OvnasError, match=r"python -m supernet\.train"):
        load_supernet(study, tmp_path)
    assert list(tmp_path.glob("*.safetensors")) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"schema_version": 1, "settings": []}', "\x00"])
def test_a_damaged_card_is_an_error(study, folder, text):
    (folder / "supernet.json").write_text(text)
    with pytest.raises(OvnasError, match=r"supernet\.json is damaged; train again with --force"):
        read_card(study, folder)


def test_a_newer_card_names_both_versions(study, folder):
    card = json.loads((folder / "supernet.json").read_text())
    (folder / "supernet.json").write_text(json.dumps({**card, "schema_version": 99}))
    with pytest.raises(OvnasError, match="schema 99, but this version reads 1"):
        load_supernet(study, folder)


@pytest.mark.parametrize(
    ("factory", "part"),
    [
        ("no_such_module:make", "No module named 'no_such_module'"),
        ("ovnas_tests_factory:missing", "missing"),
        ("ovnas_tests_factory:make_nothing", "must return a torch.nn.Module"),
        ("ovnas_tests_factory:value", "ovnas_tests_factory:value"),
        ("ovnas_tests_factory:value.", "ovnas_tests_factory:value."),
        ("supernet.errors:OvnasError", "must return a torch.nn.Module"),
    ],
)
def test_a_bad_factory_is_named(study, factory, part):
    changed = dataclasses.replace(study, model=dataclasses.replace(study.model, factory=factory))
    with pytest.raises(OvnasError) as caught:
        make_model(changed)
    assert "[model] factory" in str(caught.value)
    assert part in str(caught.value)


def full_disk(*_, **__):
    raise OSError(28, "No space left on device")


def test_json_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "value.json"
    write_json({"a": 1}, path)
    with pytest.raises(TypeError):
        write_json({"a": object()}, path)
    monkeypatch.setattr(checkpoint.os, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_json({"a": 2}, path)
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_space_that_the_model_does_not_give_any_more(study, folder, write_study, tmp_path):
    other = Study.load(str(write_study(tmp_path / "study", space="max_dropped = 0")))
    network = supernet.generate(make_model(other), example_input(other), other.space)
    save_supernet(network, study, folder, {})
    with pytest.raises(OvnasError, match="another space"):
        load_supernet(study, folder)
