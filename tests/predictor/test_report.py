from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictor import report, train
from predictor.dataset import load_dataset
from predictor.metrics import accuracy_of
from predictor.saved import load
from profiling import collect
from supernet import cli

METRICS = {"mape", "bias", "p95_ape", "kendall_tau", "spearman", *(f"within_{p}" for p in (1, 2, 5, 10))}


def run(main, *arguments: object) -> dict:
    """The JSON that a command prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(out.getvalue())


def check_report(value: dict) -> None:
    assert value.keys() >= {"schema_version", "study", "machine", "target", "counts", "ceiling", "predictors"}
    assert value["counts"].keys() >= {"train_networks", "test_networks", "kernels"}
    assert value["ceiling"].keys() == {"mape", "kendall_tau"}
    for found in value["predictors"].values():
        assert found.keys() >= {"network", "kernel", "architectures_per_s"}
        assert found["network"].keys() == found["kernel"].keys() == METRICS
        assert all(np.isfinite(v) for level in ("network", "kernel") for v in found[level].values())


def check_page(path: Path) -> str:
    """A page that loads nothing: its references are its own pictures' parts."""
    page = path.read_text(encoding="utf-8")
    references = re.findall(r"""(?:src|href|srcset|data|action)\s*=\s*["']?([^"'\s>]*)""", page)
    assert references
    assert [r for r in references if not r.startswith(("#", "data:"))] == []
    assert "<script" not in page
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    assert {r[1:] for r in references if r.startswith("#")} <= set(ids)
    return page


@pytest.fixture(scope="module")
def reported(measurements, write_study, tmp_path_factory):
    """Training and report of the measurements whose law is known: runs folder and both results."""
    home = tmp_path_factory.mktemp("reported")
    study = write_study(home, data="none")
    runs = home / "runs"
    path = runs / "tiny" / "profiling" / "measurements.sqlite"
    path.parent.mkdir(parents=True)
    shutil.copy(measurements, path)
    options = ("--study", study, "--runs-dir", runs)
    return study, runs, run(train.main, *options, "--seed", 5), run(report.main, *options)


def test_training_judges_what_it_saved(reported):
    _, runs, trained, _ = reported
    data = load_dataset([runs / "tiny" / "profiling" / "measurements.sqlite"], seed=5)
    saved = load(runs / "tiny" / "predictor" / "xgb")
    predicted = saved.predict([e.record.architecture for e in data.test])
    assert trained["network"] == accuracy_of(data.latencies(data.test), predicted)
    assert (trained["train_networks"], trained["test_networks"]) == (42, 18)
    assert trained["folder"] == str(runs / "tiny" / "predictor" / "xgb")
    assert (saved.card["seed"], saved.card["anchor_us"]) == (5, data.anchor_us)


def test_the_report_is_of_the_networks_held_out(reported, known):
    _, runs, trained, value = reported
    check_report(value)
    assert json.loads((runs / "tiny" / "predictor" / "report.json").read_text()) == value
    assert list(value["predictors"]) == ["xgb", "macs"]
    assert value["predictors"]["xgb"]["network"] == trained["network"]
    assert value["predictors"]["macs"]["network"]["mape"] < 1e-5
    kernels = sum(len(known.plan.of(a)) for a in known.architectures(60))
    assert (value["counts"]["train_networks"], value["counts"]["test_networks"]) == (42, 18)
    assert (value["counts"]["kernels"], value["counts"]["ceiling_networks"]) == (kernels, 10)
    assert value["ceiling"] == {
        "mape": pytest.approx(0.01, rel=1e-3),
        "kendall_tau": pytest.approx(1),
    }


def test_the_table_is_the_predictions(reported, known):
    _, runs, _, value = reported
    table = pd.read_csv(runs / "tiny" / "predictor" / "report.csv")
    assert list(table) == ["architecture", "measured_us", "xgb_us", "macs_us"]
    data = load_dataset([runs / "tiny" / "profiling" / "measurements.sqlite"], seed=5)
    assert list(table["architecture"]) == [str(e.record.architecture) for e in data.test]
    assert accuracy_of(table["measured_us"].to_numpy(), table["xgb_us"].to_numpy()) == pytest.approx(
        value["predictors"]["xgb"]["network"]
    )


def test_the_page_stands_alone(reported):
    _, runs, _, value = reported
    page = check_page(runs / "tiny" / "predictor" / "report.html")
    table = pd.read_csv(runs / "tiny" / "predictor" / "report.csv")
    for architecture in table["architecture"]:  # a point's name on hover
        assert page.count(f"<title>{architecture}\n") == 2
    assert f"{value['predictors']['xgb']['network']['mape']:.2%}" in page
    assert "(ceiling)" in page
    assert value["machine"]["cpu_model"] in page


def test_the_table_for_the_eye(reported, capsys):
    study, runs, _, value = reported
    assert report.main(["--study", str(study), "--runs-dir", str(runs)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"{value['predictors']['xgb']['network']['mape']:.2%}" in out
    assert str(runs / "tiny" / "predictor" / "report.html") in out


def test_a_report_without_repeats_has_no_ceiling(known, write_study, tmp_path):
    study, runs = write_study(tmp_path, data="none"), tmp_path / "runs"
    known.write(runs / "tiny" / "profiling" / "measurements.sqlite", 14)
    options = ("--study", study, "--runs-dir", runs)
    run(train.main, *options, "--predictor", "macs")
    value = run(report.main, *options)
    assert value["ceiling"] == {"mape": None, "kendall_tau": None}
    assert list(value["predictors"]) == ["macs"]
    assert "(ceiling)" not in check_page(runs / "tiny" / "predictor" / "report.html")


@pytest.fixture
def failing(write_study, tmp_path, capsys):
    """Runs a command that must fail; returns its one line."""
    study = write_study(tmp_path, data="none")

    def run(main, *options: str) -> str:
        capsys.readouterr()
        assert main(["--study", str(study), "--runs-dir", str(tmp_path / "runs"), *options]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert err.startswith("error: ")
        return err

    return run


def test_what_is_missing_names_the_command_that_makes_it(failing, known, tmp_path):
    assert "make them with python -m profiling.collect" in failing(train.main)
    assert "make one with python -m predictor.train" in failing(report.main)
    known.write(tmp_path / "runs" / "tiny" / "profiling" / "measurements.sqlite", 14)
    assert "make one with python -m predictor.train" in failing(report.main)


@pytest.mark.parametrize("main", [train.main, report.main])
def test_an_unknown_study_names_the_nearest(failing, main):
    assert "there is no study 'digitz'; did you mean 'digits'?" in failing(main, "--study", "digitz")


def test_an_unknown_predictor_names_the_choices(capsys):
    with pytest.raises(SystemExit) as stopped:
        train.main(["--predictor", "oracle"])
    out, err = capsys.readouterr()
    assert stopped.value.code == 2
    assert (out, err.count("\n")) == ("", 1)
    assert "macs" in err
    assert "xgb" in err


def test_new_measurements_need_new_training(failing, reported, known, tmp_path):
    """A report on networks that the predictor may have learned from is refused."""
    _, runs, *_ = reported
    shutil.copytree(runs, tmp_path / "runs")
    path = tmp_path / "runs" / "tiny" / "profiling" / "measurements.sqlite"
    path.unlink()
    known.write(path, 70)
    line = failing(report.main)
    assert "was trained on other measurements than are here now" in line
    assert "predictor.train --predictor xgb" in line


def test_a_damaged_predictor_is_one_line(failing, reported, tmp_path):
    shutil.copytree(reported[1], tmp_path / "runs")
    (tmp_path / "runs" / "tiny" / "predictor" / "xgb" / "card.json").write_text("{}")
    assert "card.json is damaged; train again" in failing(report.main)


@pytest.mark.slow
def test_collect_train_and_report(write_study, own_lock, tmp_path, monkeypatch):
    """The whole line on a tiny network, measured for real in short rounds; then nothing is left to do."""
    monkeypatch.setattr("profiling.timing.ROUND_SECONDS", 0.002)
    runs = tmp_path / "runs"
    options = ("--study", write_study(tmp_path, data="none"), "--runs-dir", runs)
    collected = run(collect.main, *options, "--budget", "14")
    assert (collected["networks"], collected["unplanned_networks"]) == (14, 0)
    assert collected["ceiling"]["networks"] == 8
    trained = run(train.main, *options, "--predictor", "xgb")
    assert (trained["train_networks"], trained["test_networks"]) == (10, 4)
    value = run(report.main, *options)
    check_report(value)
    check_page(runs / "tiny" / "predictor" / "report.html")
    assert value["counts"]["kernels"] == collected["kernels"]
    assert value["study"] == "tiny"

    monkeypatch.setattr(collect, "_repeat_in_fresh_process", lambda *_: None)
    path = collect.store_path(cli.argparse.Namespace(name="tiny"), runs)
    before = repr(load_dataset([path]).examples)
    again = run(collect.main, *options, "--budget", "14")
    assert (again["networks"], again["kernels"]) == (14, collected["kernels"])
    assert repr(load_dataset([path]).examples) == before
    assert run(report.main, *options)["predictors"].keys() == value["predictors"].keys()
