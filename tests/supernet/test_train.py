"""`supernet.train`: what it leaves, and what it does not write over."""

from __future__ import annotations

import errno
import json
import shutil

import pytest
from safetensors import SafetensorError

from supernet import Study, train, whole_files
from supernet.alone import alone_in
from supernet.checkpoint import load_supernet
from supernet.keeper import Keeper
from supernet.study_model import make_model
from tests.supernet.trainings import (
    LOG,
    NAMES,
    files,
    refused,
    rows,
    staged_study,
)


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


def test_the_log_has_a_row_an_epoch(trained):
    folder, _ = trained
    found = rows(folder)
    phases = [("pre-training", i) for i in range(1, 7)] + [("super-network", i) for i in range(1, 5)]
    assert [(row["phase"], int(row["epoch"])) for row in found] == phases
    assert all(0 <= float(row["largest"]) <= 1 for row in found)
    assert [bool(row["smallest"]) for row in found] == [phase != "pre-training" for phase, _ in phases]


def test_two_trainings_in_one_folder_are_refused(write_study, tmp_path, capsys):
    options = staged_study(write_study, tmp_path)
    with alone_in(tmp_path / "runs/tiny/supernet"):
        assert "another process works in" in refused(capsys, *options)


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
