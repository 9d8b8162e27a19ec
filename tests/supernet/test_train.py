from __future__ import annotations

import csv
import errno
import io
import itertools
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors import SafetensorError
from torch.utils.data import TensorDataset

from supernet import Study, finetune, pretraining, train, whole_files
from supernet.alone import alone_in
from supernet.checkpoint import load_supernet
from supernet.data import Splits
from supernet.keeper import Keeper
from supernet.study_model import make_model
from supernet.whole_files import save_state

NAMES = {"pretrained.safetensors", "supernet.safetensors", "supernet.json"}
LOG = "training.csv"
SHORT = {"train": "batch_size = 128"}


@pytest.fixture(scope="module")
def trained(write_study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    options = ["--study", str(write_study(folder, **SHORT)), "--runs-dir", str(folder / "runs")]
    assert train.main(options) == 0
    return folder, options


def files(folder) -> dict[str, tuple[bytes, int]]:
    home = folder / "runs/tiny/supernet"
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in home.iterdir()}


def test_what_is_saved(trained):
    folder, options = trained
    assert files(folder).keys() == NAMES | {LOG}
    study = Study.load(options[1])
    network, pretrained = load_supernet(study, folder / "runs/tiny/supernet")
    card = json.loads((folder / "runs/tiny/supernet/supernet.json").read_text())
    assert card["accuracy"].keys() == {"pretrained", "largest", "smallest"}
    assert card["accuracy"]["pretrained"] > 0.2  # ten classes
    assert card["log10_size"] == pytest.approx(network.space.log10_size)
    start = make_model(study).state_dict()
    assert not any(value.equal(start[n]) for n, value in pretrained.state_dict().items() if "weight" in n)


def test_saved_accuracies_are_those_of_what_is_saved(trained):
    from supernet.batchnorm import reestimate
    from supernet.data import load_splits, take
    from supernet.training import accuracy

    folder, options = trained
    study = Study.load(options[1])
    network, pretrained = load_supernet(study, folder / "runs/tiny/supernet")
    splits = load_splits(study)
    smallest = network.extract(network.space.smallest)
    reestimate(smallest, take(splits.train, train.BATCHNORM_SAMPLES))
    found = json.loads((folder / "runs/tiny/supernet/supernet.json").read_text())["accuracy"]
    # The shared statistics are the largest's own.
    largest = network.extract(network.space.largest)
    for name, module in {"pretrained": pretrained, "largest": largest, "smallest": smallest}.items():
        assert found[name] == pytest.approx(accuracy(module, splits.validation), abs=0.004)


def test_a_second_run_changes_nothing(trained, capsys):
    folder, options = trained
    before = files(folder)
    assert train.main(options) == 0
    assert "is trained already" in capsys.readouterr().out
    assert train.main([*options, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["study"] == "tiny"
    assert value["accuracy"] == json.loads(before["supernet.json"][0])["accuracy"]
    assert files(folder) == before


def rows(folder) -> list[dict[str, str]]:
    with (folder / "runs/tiny/supernet" / LOG).open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_the_log_has_a_row_an_epoch(trained):
    folder, _ = trained
    found = rows(folder)
    phases = [("pre-training", i) for i in range(1, 7)] + [("super-network", i) for i in range(1, 5)]
    assert [(row["phase"], int(row["epoch"])) for row in found] == phases
    assert all(0 <= float(row["largest"]) <= 1 for row in found)
    assert [bool(row["smallest"]) for row in found] == [phase != "pre-training" for phase, _ in phases]


STAGES = """
stages = [
    {open = ["depth"], epochs = 2, learning_rate = 0.05},
    {open = ["depth", "width"], epochs = 2, learning_rate = 0.05},
]
pretrain_epochs = 2
batch_size = 256
n_random = 1
ema_decay = 0.9
precision = "float32"
checkpoint_minutes = 1e-9
"""


def staged_study(write_study, folder):
    file = write_study(folder)
    text = file.read_text()
    start, end = text.index("[train]"), text.index("[search]")
    file.write_text(f"{text[:start]}[train]{STAGES}{text[end:]}")
    return ["--study", str(file), "--runs-dir", str(folder / "runs")]


@pytest.fixture(scope="module")
def staged(write_study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("staged")
    assert train.main(staged_study(write_study, folder)) == 0
    return folder


def killed_after(monkeypatch, n_saves: int, options: list[str]) -> None:
    """Trains until the state was saved so many times."""
    save, left = Keeper.save, itertools.count(n_saves - 1, -1)

    def killed(self, phase, fit):
        save(self, phase, fit)
        if next(left) == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Keeper, "save", killed)
        assert train.main(options) == 2


# 4 steps an epoch: in pre-training, at an end of an epoch, in each stage, between the stages.
@pytest.mark.parametrize("kills", [[3], [8], [10, 5], [16, 6]])
def test_a_killed_training_goes_on_to_the_same_result(staged, write_study, tmp_path, monkeypatch, kills):
    options = staged_study(write_study, tmp_path)
    for n_saves in kills:
        killed_after(monkeypatch, n_saves, options)
        assert (tmp_path / "runs/tiny/supernet" / train.STATE).is_file()
    assert train.main([*options, "--resume"]) == 0
    for name in NAMES - {"supernet.json"}:
        assert files(tmp_path)[name][0] == files(staged)[name][0]
    assert rows(tmp_path) == rows(staged)
    assert not (tmp_path / "runs/tiny/supernet" / train.STATE).exists()


def test_a_killed_training_leaves_an_earlier_one_and_goes_on(staged, write_study, tmp_path, monkeypatch):
    options = staged_study(write_study, tmp_path)
    assert train.main([*options, "--seed", "1"]) == 0
    before = files(tmp_path)
    killed_after(monkeypatch, 14, [*options, "--force"])
    home = tmp_path / "runs/tiny/supernet"
    assert all((home / name).read_bytes() == before[name][0] for name in NAMES)
    assert train.main([*options, "--resume"]) == 0
    for name in NAMES - {"supernet.json"}:
        assert files(tmp_path)[name][0] == files(staged)[name][0]
    assert files(tmp_path).keys() == before.keys()


FIRST = '{open = ["depth"], epochs = 2, learning_rate = 0.05}'
ALL_OPEN = '{open = ["depth", "width"], epochs = 1, learning_rate = 0.02}'


def with_stages(options, *stages: str) -> None:
    file = Path(options[1])
    start, end = (text := file.read_text()).index("stages = ["), text.index("]\npretrain")
    file.write_text(f"{text[:start]}stages = [{', '.join(stages)}{text[end:]}")


@pytest.mark.parametrize("is_killed", [False, True])
def test_further_stages_go_on_from_what_is_trained(write_study, tmp_path, monkeypatch, capsys, is_killed):
    at_once, later = (staged_study(write_study, folder) for folder in (tmp_path / "1", tmp_path / "2"))
    with_stages(at_once, FIRST, ALL_OPEN, ALL_OPEN)
    assert train.main(at_once) == 0
    with_stages(later, FIRST, ALL_OPEN)
    assert train.main(later) == 0
    before = files(tmp_path / "2")
    with_stages(later, FIRST, ALL_OPEN, ALL_OPEN)
    assert train.main([*later, "--seed", "1"]) == 2
    assert "has the seed 0; give --seed 0" in capsys.readouterr().err
    assert files(tmp_path / "2") == before
    if is_killed:
        killed_after(monkeypatch, 2, later)
        home = tmp_path / "2/runs/tiny/supernet"
        assert all((home / name).read_bytes() == before[name][0] for name in NAMES)
    assert train.main([*later, "--resume"]) == 0
    for name in NAMES - {"supernet.json"}:
        assert files(tmp_path / "2")[name][0] == files(tmp_path / "1")[name][0], name
    assert rows(tmp_path / "2") == rows(tmp_path / "1")
    assert files(tmp_path / "2").keys() == before.keys()
    cards = [json.loads(files(tmp_path / k)["supernet.json"][0]) for k in ("1", "2")]
    first, second = ({k: v for k, v in card.items() if k != "seconds"} for card in cards)
    assert first == second
    assert "is trained already" not in capsys.readouterr().out
    assert train.main(later) == 0
    assert "is trained already" in capsys.readouterr().out


def test_going_on_needs_no_weights_again(trained, write_study, tmp_path, monkeypatch, capsys):
    """They are those beside the super-network: neither fresh nor read anew, after an interruption too."""
    weights = trained[0] / "runs/tiny/supernet/pretrained.safetensors"
    options = staged_study(write_study, tmp_path)
    with_stages(options, FIRST, ALL_OPEN)
    file = Path(options[1])
    file.write_text(file.read_text().replace("pretrain_epochs = 2", "pretrain_epochs = 0"))
    assert train.main([*options, "--weights", str(weights)]) == 0
    before = files(tmp_path)
    with_stages(options, FIRST, ALL_OPEN, ALL_OPEN)
    assert finetune.main([*options, "--architecture", "w8"]) == 2
    assert "has further stages to be trained by; go on with" in capsys.readouterr().err
    killed_after(monkeypatch, 2, options)
    other = tmp_path / "other.safetensors"
    save_state(make_model(Study.load(options[1])).state_dict(), other)
    assert train.main([*options, "--weights", str(other)]) == 2
    assert "began with another weights file" in capsys.readouterr().err
    assert train.main(options) == 0
    assert files(tmp_path)["pretrained.safetensors"][0] == before["pretrained.safetensors"][0]
    cards = [json.loads(one["supernet.json"][0]) for one in (before, files(tmp_path))]
    assert cards[0]["origin"] == cards[1]["origin"]
    assert cards[0]["accuracy"]["pretrained"] == cards[1]["accuracy"]["pretrained"] > 0.2
    assert [card["epochs"] for card in cards] == [3, 4]


def test_a_study_without_stages_goes_on_too(write_study, tmp_path):
    options = staged_study(write_study, tmp_path)
    file = Path(options[1])
    staged = file.read_text()
    start, end = staged.index("stages = ["), staged.index("]\npretrain")
    file.write_text(f"{staged[:start]}epochs = 1\nlearning_rate = 0.02{staged[end + 1 :]}")
    assert train.main(options) == 0
    file.write_text(staged)
    whole = '{open = ["kernel", "depth", "width"], epochs = 1, learning_rate = 0.02}'
    with_stages(options, whole, ALL_OPEN)
    assert train.main(options) == 0
    assert [row["phase"] for row in rows(tmp_path)][-2:] == ["super-network", "stage 2 (depth, width)"]


def test_other_stages_do_not_go_on(staged, write_study, tmp_path, capsys):
    shutil.copytree(staged, tmp_path, dirs_exist_ok=True)
    options = staged_study(write_study, tmp_path)
    with_stages(options, FIRST, ALL_OPEN, ALL_OPEN)
    assert train.main(options) == 2
    assert "was trained with other settings ([train] stages" in capsys.readouterr().err


def test_stages_are_named_in_the_log(staged):
    names = ["pre-training", "stage 1 (depth)", "stage 2 (depth, width)"]
    assert [row["phase"] for row in rows(staged)] == [name for name in names for _ in range(2)]


def test_nothing_to_resume(capsys, write_study, tmp_path):
    message = refused(capsys, *staged_study(write_study, tmp_path), "--resume")
    assert "there is no interrupted training" in message


def test_an_unfinished_training_of_other_settings_is_refused(capsys, write_study, tmp_path, monkeypatch):
    options = staged_study(write_study, tmp_path)
    monkeypatch.setattr(Keeper, "save_if_due", lambda self, phase, fit: self.save(phase, fit) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train.main(options)
    monkeypatch.undo()
    capsys.readouterr()
    file = tmp_path / "tiny.toml"
    file.write_text(file.read_text().replace("ema_decay = 0.9", "ema_decay = 0.5"))
    message = refused(capsys, *options)
    assert "[train] ema_decay: 0.9 there, 0.5 now" in message
    assert "--force" in message
    file.write_text(
        file.read_text()
        .replace("ema_decay = 0.5", "ema_decay = 0.9\nn_random = 2")
        .replace("n_random = 1\n", "")
    )
    assert "delete that file to keep the pre-trained model" in refused(capsys, *options)
    file.write_text(file.read_text().replace("n_random = 2", "n_random = 1"))
    assert "seed: 0 there, 1 now" in refused(capsys, *options, "--seed", "1")


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


def test_two_trainings_in_one_folder_are_refused(write_study, tmp_path, capsys):
    options = staged_study(write_study, tmp_path)
    with alone_in(tmp_path / "runs/tiny/supernet"):
        assert "another process works in" in refused(capsys, *options)


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


@pytest.mark.slow
def test_the_same_seed_gives_the_same_files(trained, write_study, tmp_path):
    folder, options = trained
    again = ["--study", options[1], "--runs-dir", str(tmp_path / "runs")]
    assert train.main(again) == 0
    for name in NAMES - {"supernet.json"}:
        assert files(tmp_path)[name][0] == files(folder)[name][0]


def test_other_settings_are_refused(trained, write_study, tmp_path, capsys):
    folder, options = trained
    before = files(folder)
    other = str(write_study(tmp_path, train="batch_size = 32"))
    assert train.main(["--study", other, *options[2:]]) == 2
    err = capsys.readouterr().err
    assert "[train] batch_size: 128 there, 32 now" in err
    assert err.count("\n") == 1
    assert files(folder) == before


def refused(capsys, *options: str) -> str:
    assert train.main(list(options)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


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


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_full_disk_leaves_the_old_files(trained, capsys, monkeypatch, name):
    folder, options = trained
    before = files(folder)
    save_file, write_text = whole_files.save_file, type(folder).write_text

    def save(state, path, *args, **kwargs):
        if path.name.startswith(name):
            path.write_bytes(b"half")
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        return save_file(state, path, *args, **kwargs)

    def write(self, *args, **kwargs):
        if self.name.startswith(name):
            self.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return write_text(self, *args, **kwargs)

    monkeypatch.setattr(whole_files, "save_file", save)
    monkeypatch.setattr(type(folder), "write_text", write)
    assert train.main([*options, "--force", "--seed", "1"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "full" in err or "No space left" in err
    home = folder / "runs/tiny/supernet"
    (home / train.STATE).unlink()
    shutil.rmtree(home / train.UNFINISHED)
    after = files(folder)
    assert {name: after[name] for name in NAMES} == {name: before[name] for name in NAMES}


@pytest.mark.slow
def test_force_trains_again(write_study, tmp_path, capsys):
    short = {"train": "batch_size = 256"}
    options = ["--study", str(write_study(tmp_path, **short)), "--runs-dir", str(tmp_path / "runs")]
    assert train.main(options) == 0
    before = files(tmp_path)
    assert train.main([*options, "--force", "--seed", "1"]) == 0
    after = files(tmp_path)
    assert after.keys() == NAMES | {LOG}
    assert all(after[name][0] != before[name][0] for name in NAMES)
    load_supernet(Study.load(options[1]), tmp_path / "runs/tiny/supernet")


def test_an_interrupted_training_over_an_earlier_one_goes_on(trained, tmp_path, capsys, monkeypatch):
    folder, options = trained
    shutil.copytree(folder / "runs", tmp_path / "runs")
    options = [*options[:2], "--runs-dir", str(tmp_path / "runs"), "--seed", "1"]
    save = Keeper.save
    monkeypatch.setattr(Keeper, "save", lambda *everything: save(*everything) or 1 / 0)
    with pytest.raises(ZeroDivisionError):  # after one epoch
        train.main([*options, "--force"])
    assert (tmp_path / "runs/tiny/supernet" / train.STATE).is_file()
    with pytest.raises(ZeroDivisionError):
        train.main(options)
    assert "going on with the interrupted training" in capsys.readouterr().out


def test_a_weights_file_that_is_not_there(trained, capsys, tmp_path):
    _, options = trained
    for option in ("--weights", "--start-from"):
        message = refused(capsys, *options, option, str(tmp_path / "typo.pth"))
        assert message == f"error: there is no weights file {tmp_path / 'typo.pth'}\n"
