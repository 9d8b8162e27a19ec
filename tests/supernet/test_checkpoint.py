from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from torch import nn

import supernet
from supernet import OvnasError, Study
from supernet.checkpoint import (
    digest,
    load_pretrained,
    load_supernet,
    read_card,
    save_pretrained,
    save_supernet,
)
from supernet.study_model import example_input, make_model, make_network
from supernet.weights import load_weights


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


def test_the_order_of_a_stage_s_kinds_does_not_matter(write_study, tmp_path, randomise):
    """Not in a study, and not in the card of an earlier version, which kept it."""
    lines = 'stages = [{open = ["kernel", "depth", "width"], epochs = 1, learning_rate = 0.1}]'
    study = Study.load(str(write_study(tmp_path / "study", train=lines)))
    save_pretrained(make_model(study), study, 0, tmp_path / "kept")
    save_supernet(make_network(study), study, tmp_path / "kept", {"seed": 5})
    path = tmp_path / "kept" / "supernet.json"
    card = json.loads(path.read_text())
    card["settings"]["train"]["stages"][0]["open"] = ["width", "kernel", "depth"]
    path.write_text(json.dumps(card))
    other = lines.replace('"kernel", "depth", "width"', '"depth", "width", "kernel"')
    for text in (lines, other):
        study = Study.load(str(write_study(tmp_path / "study", train=text)))
        assert read_card(study, tmp_path / "kept")["seed"] == 5


def test_weights_may_lie_elsewhere_or_be_gone_but_not_be_others(study, folder, tmp_path, randomise):
    save_pretrained(randomise(make_model(study), 7), study, 0, tmp_path / "other")
    path = tmp_path / "other" / "pretrained.safetensors"
    card = json.loads((folder / "supernet.json").read_text())

    def with_weights(file) -> Study:
        return dataclasses.replace(study, model=dataclasses.replace(study.model, weights=str(file)))

    for theirs in ("", digest(path)):  # as --weights FILE, or by another path
        card["origin"] = {"weights": theirs}
        (folder / "supernet.json").write_text(json.dumps(card))
        for file in (path, tmp_path / "gone.safetensors"):
            _, pretrained = load_supernet(with_weights(file), folder)
            assert equal(pretrained, randomise(make_model(study), 1))
    card["origin"] = {"weights": "5" * 64}
    (folder / "supernet.json").write_text(json.dumps(card))
    with pytest.raises(OvnasError, match="began with other weights than"):
        load_supernet(with_weights(path), folder)


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


def test_a_space_that_the_model_does_not_give_any_more(study, folder, write_study, tmp_path):
    other = Study.load(str(write_study(tmp_path / "study", space="max_dropped = 0")))
    network = supernet.generate(make_model(other), example_input(other), other.space)
    save_supernet(network, study, folder, {})
    with pytest.raises(OvnasError, match="another space"):
        load_supernet(study, folder)
