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
from predictor.metrics import HEADLINE, accuracy_of
from predictor.registry import BASELINES
from predictor.regret import regret_of
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
    assert value["ceiling"].keys() == {"mape", "mape_interval", "floor", "kendall_tau"}
    assert value["unlike"]["low"] < 1 < value["unlike"]["high"]
    assert list(value["predictors"])[:1] == ["xgb"]
    assert set(value["predictors"]) == {"xgb", *BASELINES}
    for name, found in value["predictors"].items():
        assert found.keys() >= {"network", "kernel", "interval", "against", "regret", "architectures_per_s"}
        assert found["network"].keys() == METRICS
        assert found["network_interval"].keys() == set(HEADLINE)
        assert set(found["against"]) == (set(BASELINES) if name == "xgb" else set())
        levels = ("network",) if name == "ridge" else ("network", "kernel")
        assert all(np.isfinite(v) for level in levels for v in found[level].values())


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
    return study, runs, run(train.main, *options, "--seed", 5), run(report.main, *options, "--repeats", 1)


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
    assert value["predictors"]["xgb"]["network"] == trained["network"]
    assert value["predictors"]["macs"]["network"]["mape"] < 1e-5
    kernels = sum(len(known.plan.of(a)) for a in known.architectures(60))
    assert (value["counts"]["train_networks"], value["counts"]["test_networks"]) == (42, 18)
    assert (value["counts"]["kernels"], value["counts"]["ceiling_networks"]) == (kernels, 10)
    assert value["ceiling"] == {
        "mape": pytest.approx(0.01, rel=1e-3),
        "mape_interval": pytest.approx([0.01, 0.01], rel=1e-3),
        "floor": pytest.approx(0.01 / 2**0.5, rel=1e-3),
        "kendall_tau": pytest.approx(1),
    }


def test_the_table_is_the_predictions(reported, known):
    _, runs, _, value = reported
    table = pd.read_csv(runs / "tiny" / "predictor" / "report.csv")
    columns = [f"{name}{end}_us" for name in value["predictors"] for end in ("", "_low", "_high")]
    assert list(table) == ["architecture", "macs", "measured_us", *columns]
    data = load_dataset([runs / "tiny" / "profiling" / "measurements.sqlite"], seed=5)
    assert list(table["architecture"]) == [str(e.record.architecture) for e in data.test]
    assert accuracy_of(table["measured_us"].to_numpy(), table["xgb_us"].to_numpy()) == pytest.approx(
        value["predictors"]["xgb"]["network"]
    )
    held = (table["xgb_low_us"] <= table["measured_us"]) & (table["measured_us"] <= table["xgb_high_us"])
    assert value["predictors"]["xgb"]["interval"]["coverage"] == pytest.approx(held.mean())
    low, high = load(runs / "tiny" / "predictor" / "xgb").interval(table["xgb_us"].to_numpy(), study="tiny")
    assert table["xgb_low_us"].to_numpy() == pytest.approx(low)
    assert table["xgb_high_us"].to_numpy() == pytest.approx(high)


def test_the_worst_networks_and_their_kernels(reported):
    """Differences of kernels and of the fixed cost sum to that of the network."""
    _, runs, _, value = reported
    table = pd.read_csv(runs / "tiny" / "predictor" / "report.csv").set_index("architecture")
    errors = (table["xgb_us"] / table["measured_us"] - 1).abs().sort_values(ascending=False)
    assert [w["architecture"] for w in value["worst"]] == list(errors.index[:10])
    saved = load(runs / "tiny" / "predictor" / "xgb")
    data = load_dataset([runs / "tiny" / "profiling" / "measurements.sqlite"], seed=5)
    worst = value["worst"][0]
    (example,) = [e for e in data.test if str(e.record.architecture) == worst["architecture"]]
    predicted = saved.predictor.kernel_latency_us(example.network.kernels, data.conditions)
    by_layer = {
        f"layer{i}": (k.time_us, p)
        for i, (k, p) in enumerate(zip(example.record.kernels, predicted, strict=True))
    }
    by_layer["(fixed cost of an inference)"] = (example.record.overhead_us, saved.predictor.overhead_us_)
    differences = sorted((abs(p - m) for m, p in by_layer.values()), reverse=True)
    assert [abs(k["difference_us"]) for k in worst["kernels"]] == pytest.approx(differences[:6])
    for kernel in worst["kernels"]:
        assert (kernel["measured_us"], kernel["predicted_us"]) == pytest.approx(by_layer[kernel["layer"]])
    total = sum(p - m for m, p in by_layer.values())
    assert total == pytest.approx(worst["predicted_us"] - worst["measured_us"], abs=1e-6)


def test_the_learning_curve_ends_at_what_was_trained(reported):
    *_, value = reported
    points = value["learning_curve"]
    assert {p["name"] for p in points} == {"xgb", *BASELINES}
    whole = [p for p in points if p["n"] == 42]
    assert [p["name"] for p in whole] == ["xgb", *BASELINES]
    for point in whole:
        own = value["predictors"][point["name"]]["network"]
        assert (point["mape"], point["kendall_tau"]) == pytest.approx((own["mape"], own["kendall_tau"]))


def test_a_quality_of_ones_own(reported, tmp_path, failing):
    """The decision is then about those networks that the file knows."""
    study, runs, _, value = reported
    shutil.copytree(runs, tmp_path / "runs")
    table = pd.read_csv(runs / "tiny" / "predictor" / "report.csv")
    own = table.iloc[:7][["architecture"]].assign(quality=range(7))
    own.to_csv(tmp_path / "quality.csv", index=False)
    options = ("--study", study, "--runs-dir", tmp_path / "runs", "--repeats", 0)
    found = run(report.main, *options, "--quality", tmp_path / "quality.csv")
    assert (value["quality"], found["quality"]) == ("MACs", "quality")
    assert found["learning_curve"] == []
    expected = regret_of(*(table.iloc[:7][c].to_numpy() for c in ("measured_us", "xgb_us")), np.arange(7.0))
    regret = found["predictors"]["xgb"]["regret"]
    assert (regret["decisions"], regret["networks"]) == (7, len(set(expected.chosen.tolist())))
    assert (regret["mean"], regret["max"]) == pytest.approx((expected.mean, expected.max))
    (tmp_path / "quality.csv").write_text("a,b\n1,2\n")
    assert "must be a CSV with the columns" in failing(
        report.main, "--quality", str(tmp_path / "quality.csv")
    )
    assert "there is no file" in failing(report.main, "--quality", str(tmp_path / "none.csv"))


def test_the_page_stands_alone(reported):
    _, runs, _, value = reported
    page = check_page(runs / "tiny" / "predictor" / "report.html")
    table = pd.read_csv(runs / "tiny" / "predictor" / "report.csv")
    for architecture in table["architecture"]:  # a point's name on hover
        assert page.count(f"<title>{architecture}\n") >= len(value["predictors"])
    assert page.count("<details>") == 10
    assert f"{value['predictors']['xgb']['network']['mape']:.2%}" in page
    assert "(ceiling)" in page
    assert "A network of no family that xgb learned from" in page
    assert value["machine"]["cpu_model"] in page


def test_the_table_for_the_eye(reported, capsys, tmp_path):
    study, runs, _, value = reported
    runs = shutil.copytree(runs, tmp_path / "runs")
    assert report.main(["--study", str(study), "--runs-dir", str(runs), "--repeats", "0"]) == 0
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
    assert value["ceiling"] == dict.fromkeys(("mape", "mape_interval", "floor", "kendall_tau"))
    assert set(value["predictors"]) == set(BASELINES)
    assert all(found["against"] == {} for found in value["predictors"].values())
    assert "(ceiling)" not in check_page(runs / "tiny" / "predictor" / "report.html")


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


def test_what_does_not_fit_is_skipped_by_name(reported, known, tmp_path, write_study, capsys):
    """One of older measurements, and one whose base has seen what would be judged on."""
    runs = shutil.copytree(reported[1], tmp_path / "runs")
    folder = runs / "tiny" / "predictor"
    study = write_study(tmp_path, data="none")
    options = ("--study", str(study), "--runs-dir", str(runs))
    run(train.main, *options, "--predictor", "macs", "--seed", 5)
    shutil.copytree(folder / "macs", folder / "taught")
    card = json.loads((folder / "taught" / "card.json").read_text())
    data = load_dataset([runs / "tiny" / "profiling" / "measurements.sqlite"], seed=5)
    seen = {"tiny": [str(e.record.architecture) for e in data.test[:3]]}
    card = {**card, "name": "taught", "adapted_from": {"train_architectures": seen}}
    (folder / "taught" / "card.json").write_text(json.dumps(card))
    card = json.loads((folder / "xgb" / "card.json").read_text())
    (folder / "xgb" / "card.json").write_text(json.dumps({**card, "data_hash": "of others"}))

    value = run(report.main, *options, "--repeats", 0)
    assert set(value["predictors"]) == set(BASELINES)
    assert list(value["skipped"]) == ["xgb", "taught"]
    assert "learned from 3 of the test networks" in value["skipped"]["taught"]
    assert "predictor.train --predictor xgb --seed 5" in value["skipped"]["xgb"]
    capsys.readouterr()
    assert report.main([*options, "--repeats", "0"]) == 0
    out = capsys.readouterr().out
    assert all(f"skipped: {reason}" in out for reason in value["skipped"].values())


def test_a_row_says_how_many_networks_it_learned_from(reported, tmp_path, write_study, capsys):
    runs = shutil.copytree(reported[1], tmp_path / "runs")
    shutil.rmtree(runs / "tiny" / "predictor" / "xgb")
    options = ("--study", write_study(tmp_path, data="none"), "--runs-dir", runs)
    run(train.main, *options, "--predictor", "macs", "--measurements", 12, "--seed", 5)
    value = run(report.main, *options, "--repeats", 0)
    learned = {name: found["train_networks"] for name, found in value["predictors"].items()}
    assert learned == {"macs": 12, "lookup": 42, "ridge": 42, "forest": 42}


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

    monkeypatch.setattr(collect, "repeat_in_fresh_process", lambda *_: None)
    path = collect.store_path(cli.argparse.Namespace(name="tiny"), runs)
    before = repr(load_dataset([path]).examples)
    again = run(collect.main, *options, "--budget", "14")
    assert (again["networks"], again["kernels"]) == (14, collected["kernels"])
    assert repr(load_dataset([path]).examples) == before
    assert run(report.main, *options)["predictors"].keys() == value["predictors"].keys()
