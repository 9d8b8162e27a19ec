"""What a training begins from: given weights, a trained factory; and what is refused."""

from __future__ import annotations

import io
import sys

import pytest
import torch
from rich.console import Console
from torch.utils.data import TensorDataset

from supernet import Study, pretraining, train
from supernet.checkpoint import load_supernet
from supernet.data import Splits
from supernet.keeper import Keeper
from supernet.study_model import make_model
from tests.supernet.trainings import (
    SHORT,
    files,
    refused,
    rows,
    staged_study,
)


def test_weights_in_place_of_pre_training(trained, write_study, tmp_path, capsys):
    folder, _ = trained
    weights = folder / "runs/tiny/supernet/pretrained.safetensors"
    options = staged_study(write_study, tmp_path)
    assert train.main([*options, "--weights", str(weights)]) == 0
    assert files(tmp_path)["pretrained.safetensors"][0] == weights.read_bytes()
    assert not any(row["phase"] == "pre-training" for row in rows(tmp_path))
    said = capsys.readouterr()
    assert "the given model's accuracy: " in said.out + said.err
    assert "no weights file" in refused(capsys, *options, "--force", "--weights", str(tmp_path / "no.pth"))


def test_a_factory_s_trained_model_is_taken_as_it_is(write_study, tmp_path, capsys):
    study = str(write_study(tmp_path, factory="make_trained", **SHORT))
    options = ["--study", study, "--runs-dir", str(tmp_path / "runs")]
    file = tmp_path / "tiny.toml"
    file.write_text(file.read_text().replace("pretrain_epochs = 6", "pretrain_epochs = 0"))
    assert "pretrain_epochs is 0" in refused(capsys, *options, "--start-from", study)
    assert train.main(options) == 0
    assert "the given model's accuracy: " in capsys.readouterr().out
    made = make_model(Study.load(study)).state_dict()
    _, pretrained = load_supernet(Study.load(study), tmp_path / "runs/tiny/supernet")
    assert all(value.equal(made[name]) for name, value in pretrained.state_dict().items())
    assert {row["phase"] for row in rows(tmp_path)} == {"super-network"}


def test_a_factory_s_trained_model_is_noticed(write_study, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Keeper, "save", lambda *_: 1 / 0)
    for factory, is_noticed in (("make", False), ("make_trained", True)):
        study = str(write_study(tmp_path / factory, factory=factory, **SHORT))
        with pytest.raises(ZeroDivisionError):  # after one epoch
            train.main(["--study", study, "--runs-dir", str(tmp_path / "runs")])
        assert ("pretrain_epochs = 0 takes it as it is" in capsys.readouterr().out) == is_noticed


def test_pre_training_starts_from_given_weights(trained, write_study, tmp_path, capsys, monkeypatch):
    weights = trained[0] / "runs/tiny/supernet/pretrained.safetensors"
    study = str(write_study(tmp_path, **SHORT))
    options = ["--study", study, "--runs-dir", str(tmp_path / "runs"), "--start-from", str(weights)]
    monkeypatch.setattr(Keeper, "save", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # after one epoch
        train.main(options)
    monkeypatch.undo()
    assert "pre-training starts from" in capsys.readouterr().out
    fresh, started = (float(rows(folder)[0]["largest"]) for folder in (trained[0], tmp_path))
    assert started > fresh + 0.1
    assert train.main(options) == 0
    fresh, started = (float(rows(folder)[0]["loss"]) for folder in (trained[0], tmp_path))
    assert started < fresh


def test_starts_that_are_refused(trained, write_study, tmp_path, capsys, monkeypatch):
    weights = str(trained[0] / "runs/tiny/supernet/pretrained.safetensors")
    options = ["--study", str(write_study(tmp_path, **SHORT)), "--runs-dir", str(tmp_path / "runs")]
    save = Keeper.save
    monkeypatch.setattr(Keeper, "save", lambda *everything: save(*everything) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train.main([*options, "--start-from", weights])
    monkeypatch.undo()
    capsys.readouterr()
    message = refused(capsys, *options)  # without it, it would be another training
    assert "began with --start-from FILE; give it again" in message
    given = str(write_study(tmp_path / "given", model=f"weights = {weights!r}"))
    options = ["--study", given, "--runs-dir", str(tmp_path / "given/runs"), "--start-from", weights]
    assert "leave it out for --start-from" in refused(capsys, *options)


def test_other_weights_than_a_trained_super_network_began_with_are_refused(trained, tmp_path, capsys):
    _, options = trained
    (tmp_path / "other.safetensors").write_bytes(b"other")
    message = refused(capsys, *options, "--weights", str(tmp_path / "other.safetensors"))
    assert "began with another weights file; train again with --force" in message


def test_a_weights_file_that_is_not_there(trained, capsys, tmp_path):
    _, options = trained
    for option in ("--weights", "--start-from"):
        message = refused(capsys, *options, option, str(tmp_path / "typo.pth"))
        assert message == f"error: there is no weights file {tmp_path / 'typo.pth'}\n"


def test_no_data(capsys, tmp_path):
    message = refused(capsys, "--study", "resnet50", "--runs-dir", str(tmp_path / "runs"))
    assert "study 'resnet50' has no data" in message
    assert not (tmp_path / "runs").exists()


def test_another_number_of_classes(capsys, tmp_path, write_study):
    file = write_study(tmp_path)
    file.write_text(file.read_text().replace("ovnas_tests_factory:make", "supernet.models.resnet:resnet18"))
    message = refused(capsys, "--study", str(file), "--runs-dir", str(tmp_path / "runs"))
    assert "logits of shape (batch, 10)" in message
    assert "(1, 1000)" in message
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("return nn.Sequential(make(), nn.Softmax(1))", "leave its last Softmax out"),
        ("return make().requires_grad_(False)", "frozen, and cannot be pre-trained"),
        ("return Auxiliary(make())", "switch its auxiliary outputs off"),
    ],
)
def test_models_that_would_be_trained_wrongly(capsys, tmp_path, write_study, monkeypatch, line, message):
    (tmp_path / "ovnas_tests_own.py").write_text(
        "from torch import nn\nfrom ovnas_tests_factory import make\n\n\nclass Auxiliary(nn.Module):\n"
        "    def __init__(self, net):\n        super().__init__()\n        self.net = net\n\n"
        "    def forward(self, x):\n        y = self.net(x)\n"
        "        return (y, y) if self.training else y\n\n\n"
        f"def changed():\n    {line}\n"
    )
    file = write_study(tmp_path, **SHORT)
    monkeypatch.syspath_prepend(tmp_path)
    file.write_text(file.read_text().replace("ovnas_tests_factory:make", "ovnas_tests_own:changed"))
    assert train.main(["--study", str(file), "--runs-dir", str(tmp_path / "runs")]) == 2
    assert message in capsys.readouterr().err
    sys.modules.pop("ovnas_tests_own")


@pytest.mark.parametrize(
    ("n_classes", "found", "is_told"), [(2, 0.98, False), (2, 0.5, True), (10, 0.2, False), (10, 0.13, True)]
)
def test_only_an_accuracy_near_chance_is_called_so(monkeypatch, n_classes, found, is_told):
    monkeypatch.setattr(pretraining, "accuracy", lambda *_: found)
    images = TensorDataset(torch.zeros(400, 1), torch.zeros(400))
    out = io.StringIO()
    pretraining._judge_given(None, Splits(images, images, images, n_classes), Console(file=out))
    assert ("near chance" in out.getvalue()) == is_told
