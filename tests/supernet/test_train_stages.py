"""Training in stages: killed, gone on with, and with stages added."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from supernet import Study, finetune, train
from supernet.keeper import Keeper
from supernet.study_model import make_model
from supernet.whole_files import save_state
from tests.supernet.trainings import (
    ALL_OPEN,
    FIRST,
    NAMES,
    files,
    killed_after,
    refused,
    rows,
    staged_study,
    with_stages,
)


@pytest.fixture(scope="module")
def staged(write_study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("staged")
    assert train.main(staged_study(write_study, folder)) == 0
    return folder


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


def test_the_log_keeps_a_pre_training_for_other_stages(staged, write_study, tmp_path, monkeypatch):
    options = staged_study(write_study, tmp_path)
    killed_after(monkeypatch, 14, options)
    (tmp_path / "runs/tiny/supernet" / train.STATE).unlink()
    file = tmp_path / "tiny.toml"
    text = file.read_text()
    file.write_text(text.replace('{open = ["depth"], epochs = 2', '{open = ["depth"], epochs = 1'))
    assert train.main(options) == 0
    phases = [row["phase"] for row in rows(tmp_path)]
    assert phases == ["pre-training"] * 2 + ["stage 1 (depth)"] + ["stage 2 (depth, width)"] * 2
    assert rows(tmp_path)[:2] == rows(staged)[:2]


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
