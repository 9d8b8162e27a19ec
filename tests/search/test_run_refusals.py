"""Searches that must not begin: one line that says why, and nothing is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from predictor.macs import MacsPredictor
from predictor.saved import save
from profiling.machine import read_machine, read_target
from profiling.plan import Plan
from search import run
from supernet import Study
from supernet.study_model import make_network


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, write_study, own_lock):
    """A tiny study and a folder with nothing but a predictor (of constant latency) for this machine."""
    folder = tmp_path_factory.mktemp("prepared")
    file = write_study(folder)
    study = Study.load(str(file))
    predictor = MacsPredictor().restore(folder, {"overhead_us": 10.0, "us_per_mac": 1e-6})
    facts = {"machine": read_machine(), "target": read_target(study.target), "anchor_us": {"tiny": 10.0}}
    plans = {"tiny": Plan(make_network(study).space, ())}
    save("macs", predictor, plans, [], facts, folder / "runs/tiny/predictor/macs")
    return folder


@pytest.fixture
def folder(prepared, tmp_path):
    return Path(shutil.copytree(prepared, tmp_path / "copy"))


def refused(capsys, folder: Path, *options: str) -> str:
    """The one line on the standard error of a search that must not write anything."""
    runs = folder / "runs"
    before = tree(folder)
    assert run.main(["--study", str(folder / "tiny.toml"), "--runs-dir", str(runs), *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert tree(folder) == before
    return err


def test_no_predictor(capsys, folder):
    shutil.rmtree(folder / "runs")
    message = refused(capsys, folder)
    assert "python -m predictor.train" in message
    assert not (folder / "runs").exists()


def test_no_supernet(capsys, folder):
    assert "python -m supernet.train" in refused(capsys, folder, "--predictor", "macs")


@pytest.mark.parametrize("option", ["--evaluations", "--finalists", "--rounds"])
@pytest.mark.parametrize("value", ["0", "-3"])
def test_counts_must_be_positive(capsys, folder, option, value):
    assert f"{option} must be >= 1, but got {value}" in refused(capsys, folder, option, value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--objectives", "accuracy,speed"), "no objective 'speed'"),
        (("--max-latency", "8"), "--max-latency must be a latency like 8ms"),
        (("--max-latency", ""), "--max-latency must be a latency like 8ms, 750us or 0.1s, but got ''"),
        (("--max-macs", ""), "--max-macs must be a count"),
        (("--objectives", ""), "no objective ''"),
        (("--min-speedup", "0"), "--min-speedup must be > 0"),
        (("--max-accuracy-drop", "-1"), "--max-accuracy-drop must be >= 0"),
        (("--max-size", "big"), "--max-size must be a size like 2MB"),
        (("--predictor", "measure", "--rounds", "2"), "--rounds refreshes a predictor"),
        (("--mlperf", "offline,sever"), "no scenario 'sever'; did you mean 'server'?"),
        (("--mlperf", "server", "--latency-bound", "15"), "--latency-bound must be a latency like 8ms"),
    ],
)
def test_options_that_make_no_sense(capsys, folder, options, message):
    assert message in refused(capsys, folder, *options)


def test_an_accuracy_drop_needs_data(capsys, folder, write_study):
    write_study(folder, data="none")
    assert "needs data" in refused(capsys, folder, "--max-accuracy-drop", "1")


def test_negative_seed(capsys, folder):
    assert "--seed" in refused(capsys, folder, "--seed", "-1")


def test_predictor_of_another_machine(capsys, folder):
    card = folder / "runs/tiny/predictor/macs/card.json"
    value = json.loads(card.read_text())
    value["machine"]["cpu_model"] = "Another CPU"
    card.write_text(json.dumps(value))
    message = refused(capsys, folder, "--predictor", "macs")
    assert "'Another CPU'" in message
    assert "cpu_model" in message


def test_predictor_for_another_target(capsys, folder, write_study):
    write_study(folder, target="batch = 2")
    assert "target" in refused(capsys, folder, "--predictor", "macs")


def test_predictor_of_another_space(capsys, folder, write_study):
    write_study(folder, data="none", space="max_dropped = 0")
    assert "another space" in refused(capsys, folder, "--predictor", "macs")


def test_a_space_too_large_to_enumerate(capsys, folder, write_study):
    options = ("--predictor", "macs", "--algorithm", "exhaustive", "--evaluations", "2")
    write_study(folder, data="none")
    assert "an exhaustive search of this space needs" in refused(capsys, folder, *options)


def test_a_predictor_under_a_name_of_its_own(capsys, folder, write_study):
    """It is found and read: what is refused is the space."""
    write_study(folder, data="none", space="max_dropped = 0")
    place = folder / "runs/tiny/predictor"
    (place / "macs").rename(place / "mine")
    assert "another space" in refused(capsys, folder, "--predictor", "mine")


def test_unknown_predictor_and_study(capsys, folder):
    assert "there is no predictor 'nothing'" in refused(capsys, folder, "--predictor", "nothing")
    (folder / "tiny.toml").unlink()
    assert "there is no study file" in refused(capsys, folder)
