"""What predictor.train makes and refuses."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from predictor import train
from predictor.conformal import half_width
from predictor.dataset import MIN_LEARNED, load_dataset
from predictor.saved import load
from predictor.tune import Trial


@pytest.fixture(scope="module")
def runs(measurements, write_other, write_study, tmp_path_factory) -> Path:
    """Studies "tiny" and "other" with measurements."""
    home = tmp_path_factory.mktemp("trained")
    study = write_study(home, data="none")
    shutil.copy(study, home / "other.toml")
    path = home / "runs" / "tiny" / "profiling" / "measurements.sqlite"
    path.parent.mkdir(parents=True)
    shutil.copy(measurements, path)
    write_other(home / "runs" / "other" / "profiling" / "measurements.sqlite", 30)
    return home / "runs"


def run(runs: Path, *options: object, study: str = "tiny") -> dict:
    out = io.StringIO()
    own = ["--study", runs.parent / f"{study}.toml", "--runs-dir", runs, "--json", *options]
    with contextlib.redirect_stdout(out):
        assert train.main([str(o) for o in own]) == 0
    return json.loads(out.getvalue())


def refused(capsys, runs: Path, *options: object, study: str = "tiny") -> str:
    capsys.readouterr()
    own = ["--study", runs.parent / f"{study}.toml", "--runs-dir", runs, *options]
    assert train.main([str(o) for o in own]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_one_predictor_of_two_studies_under_a_name(runs):
    value = run(runs, "--also", runs.parent / "other.toml", "--name", "both", "--predictor", "macs")
    assert value["studies"] == ["tiny", "other"]
    assert (value["train_networks"], value["test_networks"]) == (42 + 21, 18 + 9)
    saved = load(runs / "tiny" / "predictor" / "both")
    assert (saved.name, saved.card["predictor"], list(saved.plans)) == ("both", "macs", ["tiny", "other"])
    assert saved.card["anchor_us"].keys() == {"tiny", "other"}
    assert {study: len(own) for study, own in saved.card["residuals"].items()} == {"tiny": 42, "other": 21}


def test_the_intervals_are_from_the_training_part(runs):
    run(runs, "--predictor", "ridge")
    saved = load(runs / "tiny" / "predictor" / "ridge")
    assert len(saved.card["residuals"]["tiny"]) == 42
    data = load_dataset([runs / "tiny" / "profiling" / "measurements.sqlite"])
    low, high = saved.interval(saved.predict_networks([e.network for e in data.test]))
    assert 0.7 <= np.mean((low <= data.latencies(data.test)) & (data.latencies(data.test) <= high)) <= 1
    assert (high / low)[0] == pytest.approx(np.exp(2 * half_width(saved.card["residuals"]["tiny"])))


def test_adapted_from_another_study(runs):
    """The other study stands for other conditions; its predictor knows nearly all kernels."""
    run(runs, study="other")
    base = runs / "other" / "predictor" / "xgb"
    value = run(runs, "--from", base, "--measurements", 10)
    assert (value["predictor"], value["train_networks"], value["test_networks"]) == ("adapted", 10, 18)
    assert value["network"]["mape"] < 0.02
    folder = runs / "tiny" / "predictor" / "adapted"
    saved = load(folder)
    assert saved.card["adapted_from"]["data_hash"] == load(base).card["data_hash"]
    known = load(base).card["train_architectures"]
    assert saved.card["adapted_from"]["train_architectures"] == known
    shutil.rmtree(base)
    np.testing.assert_array_equal(
        load(folder).predict([saved.plan.space.largest]),
        saved.predict([saved.plan.space.largest]),
    )
    again = run(runs, "--from", folder, "--measurements", 12, "--name", "again")
    assert again["network"]["mape"] < 0.02
    learned = load(runs / "tiny" / "predictor" / "again").card["adapted_from"]["train_architectures"]
    assert learned == {**saved.card["train_architectures"], **known}


def test_an_adapted_predictor_is_judged_on_what_its_base_has_not_seen(runs):
    run(runs, "--seed", 1, "--predictor", "macs", "--name", "base")
    base = runs / "tiny" / "predictor" / "base"
    known = set(load(base).card["train_architectures"]["tiny"])
    test = load_dataset([runs / "tiny" / "profiling" / "measurements.sqlite"], n_train=10).test
    unseen = [e for e in test if str(e.record.architecture) not in known]
    assert 0 < len(unseen) < len(test)
    value = run(runs, "--from", base, "--measurements", 10, "--name", "judged")
    assert value["test_networks"] == len(unseen)


def test_the_fewest_measurements_are_enough(runs, capsys):
    """Each fold must leave what trees need; there is no interval yet, which is said."""
    for options, n in ((("--name", "few"), MIN_LEARNED), (("--predictor", "macs"), 9)):
        value = run(runs, *options, "--measurements", n)
        assert value["train_networks"] == n
    own = ["--study", runs.parent / "tiny.toml", "--runs-dir", runs, "--predictor", "macs", "--measurements"]
    for n, text in (
        (MIN_LEARNED, "too few networks for a 90% interval (9 are needed)"),
        (9, "90% interval of"),
    ):
        capsys.readouterr()
        assert train.main([str(o) for o in (*own, n)]) == 0
        assert f"tiny: {text}" in " ".join(capsys.readouterr().out.split())


def test_all_networks_may_be_learned_from(runs):
    value = run(runs, "--predictor", "macs", "--measurements", 60, "--name", "all")
    assert (value["train_networks"], value["test_networks"]) == (60, 0)
    assert value["network"]["mape"] < 1e-4


def test_tuned_parameters_are_saved(runs, monkeypatch):
    trials = [Trial({"n_estimators": 3}, (0.25, 0.25)), Trial({"n_estimators": 7}, (0.5, 0.5))]
    monkeypatch.setattr("predictor.tune.tune", lambda *_, **__: trials)
    value = run(runs, "--tune", "--name", "tuned")
    saved = load(runs / "tiny" / "predictor" / "tuned")
    assert saved.predictor.n_estimators == value["parameters"]["n_estimators"] == 3
    assert saved.card["tuning"] == [{"parameters": {"n_estimators": n}, "error": e}
                                    for n, e in ((3, 0.25), (7, 0.5))]  # fmt: skip
    again = argparse.Namespace(
        study=str(runs.parent / "tiny.toml"), runs_dir=runs, seed=0, json=True, predictor="xgb", also=[],
        name="tuned-again", tune=False, tuning=saved.card["tuning"], base=None, measurements=None,
    )  # fmt: skip
    assert train.train(again)["parameters"]["n_estimators"] == 3
    assert load(runs / "tiny" / "predictor" / "tuned-again").card["tuning"] == saved.card["tuning"]


def test_what_is_refused(runs, capsys):
    for n in (4, 6):
        assert f"must be >= 7, but got {n}" in refused(capsys, runs, "--measurements", n)
    assert "--name ridge is a kind of predictor" in refused(capsys, runs, "--name", "ridge")
    assert "of kind macs" in refused(capsys, runs, "--name", "adapted", "--predictor", "macs")
    assert "holds 60 networks, but 61" in refused(capsys, runs, "--measurements", 61)
    for name in ("../elsewhere", "a/b", "", ".hidden"):
        assert "--name must be" in refused(capsys, runs, "--name", name)
    assert "there is no predictor at" in refused(capsys, runs, "--from", runs / "nothing")
    assert "leave out --predictor" in refused(capsys, runs, "--from", runs, "--predictor", "xgb")
    assert "no parameters to tune" in refused(capsys, runs, "--tune", "--predictor", "macs")
    assert "given twice" in refused(capsys, runs, "--also", runs.parent / "tiny.toml")
    run(runs, "--predictor", "ridge")
    ridge = runs / "tiny" / "predictor" / "ridge"
    assert "predicts no kernels" in refused(capsys, runs, "--from", ridge)


@pytest.mark.parametrize(("fact", "value"), [("cpu_model", "Another CPU"), ("openvino", "2020.1")])
def test_measurements_of_another_machine(known, tmp_path, capsys, fact, value):
    path = known.write(tmp_path / "digits" / "profiling" / "measurements.sqlite", 20, 0)
    with sqlite3.connect(path) as db:
        (text,) = db.execute("SELECT value FROM meta WHERE key = 'machine'").fetchone()
        facts = json.dumps({**json.loads(text), fact: value})
        db.execute("UPDATE meta SET value = ? WHERE key = 'machine'", (facts,))
    db.close()
    assert train.main(["--runs-dir", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"{fact}: '{value}' there" in err
    assert not (tmp_path / "digits" / "predictor").exists()
