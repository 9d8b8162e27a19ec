from __future__ import annotations

import errno
import json

import pytest
from safetensors import SafetensorError

from supernet import Study, checkpoint, train
from supernet.checkpoint import load_supernet, make_model

NAMES = {"pretrained.safetensors", "supernet.safetensors", "supernet.json"}
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
    assert files(folder).keys() == NAMES
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


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_full_disk_leaves_the_old_files(trained, capsys, monkeypatch, name):
    folder, options = trained
    before = files(folder)
    save_file, write_text = checkpoint.save_file, type(folder).write_text

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

    monkeypatch.setattr(checkpoint, "save_file", save)
    monkeypatch.setattr(type(folder), "write_text", write)
    assert train.main([*options, "--force", "--seed", "1"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "full" in err or "No space left" in err
    assert files(folder) == before


@pytest.mark.slow
def test_force_trains_again(write_study, tmp_path, capsys):
    short = {"train": "batch_size = 256"}
    options = ["--study", str(write_study(tmp_path, **short)), "--runs-dir", str(tmp_path / "runs")]
    assert train.main(options) == 0
    before = files(tmp_path)
    assert train.main([*options, "--force", "--seed", "1"]) == 0
    after = files(tmp_path)
    assert after.keys() == NAMES
    assert all(after[name][0] != before[name][0] for name in NAMES)
    load_supernet(Study.load(options[1]), tmp_path / "runs/tiny/supernet")
