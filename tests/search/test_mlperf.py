from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from profiling.target import compile_model
from search import mlperf, mlperf_v20
from search.finalists import int8_hits
from search.loadgen_log import read_predictions
from supernet import OvnasError, Study, cli
from supernet.data import load_splits, take
from supernet.int8 import quantize, to_openvino
from supernet.pixels import resized
from supernet.resized import ResizedImages
from supernet.study_model import example_input, make_model


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_study):
    return write_study(tmp_path_factory.mktemp("study"), space="resolution = [12]")


@pytest.fixture(scope="module")
def model(study):
    return exported(study, 16)


def exported(study: Path, side: int) -> Path:
    loaded = Study.load(str(study))
    samples = resized(take(load_splits(loaded).train, 16), side)
    path = study.parent / f"{side}" / "model.xml"
    path.parent.mkdir()
    plain = to_openvino(make_model(loaded), resized(example_input(loaded), side))
    ov.save_model(quantize(plain, samples), path)
    return path


def run(capsys, *options: object) -> tuple[int, str, str]:
    code = mlperf.main([str(o) for o in options])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("scenario", ["offline", "server", "multistream"])
def test_accuracy_is_that_of_direct_evaluation(study, model, own_lock, tmp_path, capsys, scenario):
    """Whatever the order, the rate and the number of samples a query (which the test split is no multiple of,
    but for MultiStream with 360 of them)."""
    pytest.importorskip("mlperf_loadgen")
    code, out, err = run(
        capsys, "--model", model, "--accuracy", "--study", study, "--out", tmp_path, "--scenario", scenario,
        "--json",
    )  # fmt: skip
    assert code == 0, err
    value = json.loads(out)
    test = load_splits(Study.load(str(study))).test
    compiled = compile_model(
        ov.Core().read_model(model), {"mode": "latency", "threads": 1, "streams": 1, "batch": 1}
    )
    assert value["n_samples"] == len(test)
    assert value["top1"] == int8_hits(compiled, test).mean()
    direct = [int(compiled([image[None].numpy()])[0].argmax()) for image, _ in test]
    np.testing.assert_array_equal(read_predictions(Path(value["log_dir"]), len(test)), direct)


def test_accuracy_on_the_images_of_another_study_is_refused(study, model, own_lock, tmp_path, capsys):
    pytest.importorskip("mlperf_loadgen")
    (tmp_path / "card.json").write_text('{"study": "another"}')
    (tmp_path / "model.xml").write_text(model.read_text())
    code, _, err = run(capsys, "--model", tmp_path / "model.xml", "--accuracy", "--study", study)
    assert code == 2
    assert "is of study 'another', not of 'tiny'; give it with --study" in err


def test_accuracy_of_a_smaller_resolution_is_that_of_smaller_images(study, own_lock, tmp_path, capsys):
    pytest.importorskip("mlperf_loadgen")
    model = exported(study, 12)
    code, out, err = run(
        capsys, "--model", model, "--accuracy", "--study", study, "--out", tmp_path, "--json",
    )  # fmt: skip
    assert code == 0, err
    value = json.loads(out)
    compiled = compile_model(
        ov.Core().read_model(model), {"mode": "latency", "threads": 1, "streams": 1, "batch": 1}
    )
    small = ResizedImages(load_splits(Study.load(str(study))).test, 12)
    assert value["top1"] == int8_hits(compiled, small).mean()


def test_a_quick_run_says_so_everywhere(model, own_lock, tmp_path, capsys, monkeypatch):
    pytest.importorskip("mlperf_loadgen")
    monkeypatch.setattr("search.measurement.Plan.duration_s", 0.3)
    code, out, err = run(capsys, "--model", model, "--quick", "--runs-dir", tmp_path)
    assert code == 0, err
    assert " ".join(out.split()).count("not valid for a submission") == 2
    (file,) = tmp_path.glob("mlperf/model/offline-1/result.json")
    value = json.loads(file.read_text())
    assert value["is_quick"]
    assert value["metric"] == "samples/s"
    assert (Path(value["log_dir"]) / "mlperf_log_summary.txt").is_file()


def test_finalists_in_all_scenarios_asked_for(model, tmp_path, capsys, monkeypatch):
    pytest.importorskip("mlperf_loadgen")
    monkeypatch.setattr("search.measurement.Plan.duration_s", 0.2)
    networks = [("finalist 1", model)]
    with cli.progress(cli.console(_arguments())) as bar:
        rows = mlperf.measure_finalists(networks, ["offline"], tmp_path, bar, is_quick=True)
        rows += mlperf.measure_finalists(
            networks[:1], ["server"], tmp_path, bar, is_quick=True, bound_ms=1e-5
        )
    assert [(r["network"], r["scenario"]) for r in rows] == [
        ("finalist 1", "offline"), ("finalist 1", "server"),
    ]  # fmt: skip
    keys = {"network", "scenario", "metric", "value", "verdict", "is_quick", "log_dir"}
    assert all(keys <= set(row) for row in rows)
    assert rows[0]["value"] > 0
    assert rows[1]["verdict"] == "INVALID"
    assert "--latency-bound" in rows[1]["reason"]
    with cli.progress(cli.console(_arguments())) as bar:  # one that fails does not take the others with it
        missing = ("finalist 2", tmp_path / "none.xml")
        told = []
        rows = mlperf.measure_finalists(
            [missing, *networks],
            ["offline"],
            tmp_path,
            bar,
            is_quick=True,
            on_row=lambda r: told.append(len(r)),
        )
    assert told == [1, 2]
    assert rows[0]["verdict"] == "INVALID"
    assert "no model file" in rows[0]["reason"]
    assert rows[1]["value"] > 0
    with (
        cli.progress(cli.console(_arguments())) as bar,
        pytest.raises(OvnasError, match="did you mean 'server'"),
    ):
        mlperf.measure_finalists(networks, ["serve"], tmp_path, bar, is_quick=True)


def test_an_interrupted_start_is_gone_on_with(tmp_path, monkeypatch, capsys):
    pytest.importorskip("mlperf_loadgen")
    from types import SimpleNamespace

    networks = []
    for name in "abc":
        path = tmp_path / f"{name}.xml"
        path.write_text(name)
        path.with_suffix(".bin").write_bytes(b"weights")
        networks.append((name, path))
    asked: list[str] = []
    stops = {"b"}

    def measured(model, scenario, plan, *_, **__):
        asked.append(model.stem)
        if model.stem in stops:
            raise KeyboardInterrupt
        row = {"scenario": scenario, "value": float(len(asked)), "verdict": "VALID", "log_dir": "logs"}
        return SimpleNamespace(to_json=lambda: row)

    monkeypatch.setattr("search.measurement.measure_scenario", measured)

    def measure(bound_ms=15.0):
        asked.clear()
        with cli.progress(cli.console(_arguments())) as bar:
            return mlperf.measure_finalists(
                networks, ["offline"], tmp_path / "logs", bar, is_quick=True, bound_ms=bound_ms
            )

    with pytest.raises(KeyboardInterrupt):
        measure()
    (tmp_path / "c.xml").write_text("another network")
    networks[:] = [("first", networks[0][1]), *networks[1:]]  # it is the files that count
    kept = tmp_path / "logs/unfinished.json"
    before = kept.read_text()
    with pytest.raises(KeyboardInterrupt):
        measure(bound_ms=20.0)  # other conditions
    kept.write_text(before)
    stops.clear()
    rows = measure()
    assert asked == ["b", "c"]
    assert [(row["network"], row["value"]) for row in rows] == [("first", 1.0), ("b", 1.0), ("c", 2.0)]
    assert not kept.exists()
    measure()
    assert asked == ["a", "b", "c"]  # a whole one is measured again


def _arguments():
    import argparse

    return argparse.Namespace(json=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "none.xml"], "there is no model file none.xml"),
        (["--model", "none.xml", "--latency-bound", "15"], "--latency-bound must be a latency like 8ms"),
        (["--model", "none.xml", "--accuracy", "--quick"], "leave --quick and --latency-bound out"),
    ],
)
def test_bad_input_is_one_line(capsys, options, message):
    pytest.importorskip("mlperf_loadgen")
    code, out, err = run(capsys, *options)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_missing_predictor_is_noticed_before_anything_is_measured(tmp_path, capsys, monkeypatch):
    pytest.importorskip("mlperf_loadgen")
    monkeypatch.setattr(mlperf_v20, "_build", lambda *_: pytest.fail("networks were built"))
    assert mlperf_v20.main(["--quick", "--parts", "search", "--runs-dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "predictor.train --study resnet50_fine16" in error
    assert error.count("\n") == 1


def test_the_published_comparison_is_of_its_own_study(capsys):
    assert mlperf_v20.main(["--study", "digits"]) == 2
    assert "leave --study out" in capsys.readouterr().err


def test_parts_of_the_published_comparison(capsys):
    assert mlperf_v20.main(["--parts", "offlin"]) == 2
    assert "did you mean 'offline'" in capsys.readouterr().err
