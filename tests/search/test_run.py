from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictor import train as predictor_train
from predictor.dataset import load_dataset
from profiling import collect
from profiling.machine import has_vnni, read_machine
from profiling.store import Store
from search import run
from search.certainty import error_of_share
from search.comparison import compare
from search.result import SCHEMA_VERSION
from search.unfinished import UnfinishedRows
from supernet import OvnasError, Study, train
from supernet.alone import alone_in
from supernet.checkpoint import load_supernet

KINDS = {"ir", "onnx", "weights", "architecture", "card"}


@dataclass(frozen=True)
class Result:
    folder: Path
    options: list[str]
    value: dict[str, Any]
    text: str


def call(command, *options: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command(list(options))
    assert code == 0, err.getvalue()
    return out.getvalue(), err.getvalue()


def measure_briefly(patch: pytest.MonkeyPatch) -> None:
    """For searches whose speeds nobody reads: measuring takes most of a small search's time."""
    patch.setattr("search.finalists.compare", partial(compare, copies=2, rounds=2))


@pytest.fixture
def brief(monkeypatch) -> None:
    measure_briefly(monkeypatch)


@pytest.fixture(scope="module")
def with_data(tmp_path_factory, write_study, own_lock) -> Result:
    """All rooms, one after the other, as a user calls them."""
    folder = tmp_path_factory.mktemp("whole")
    common = ["--study", str(write_study(folder)), "--runs-dir", str(folder / "runs"), "--json"]
    for command, *options in (
        (train.main,),
        (collect.main, "--budget", "14"),
        (predictor_train.main,),
    ):
        json.loads(call(command, *common, *options)[0])
    options = [*common, "--evaluations", "12", "--finalists", "2"]
    out, err = call(run.main, *options)
    return Result(folder / "runs/tiny/search", options, json.loads(out), err)


@pytest.fixture(scope="module")
def without_data(tmp_path_factory, write_study, own_lock, with_data) -> Result:
    """The same network and predictor without data and super-network, with the stand-in's own budget."""
    folder = tmp_path_factory.mktemp("blind")
    shutil.copytree(with_data.folder.parent / "predictor", folder / "runs/tiny/predictor")
    options = ["--study", str(write_study(folder, data="none")), "--runs-dir", str(folder / "runs"), "--json"]
    options += ["--finalists", "2"]
    out, err = call(run.main, *options)
    return Result(folder / "runs/tiny/search", options, json.loads(out), err)


@pytest.fixture(params=["with_data", "without_data"])
def result(request) -> Result:
    return request.getfixturevalue(request.param)


@pytest.mark.slow
def test_search_json_holds_the_agreed_keys(result):
    value = result.value
    assert json.loads((result.folder / "search.json").read_text()) == value
    assert {"schema_version", "study", "machine", "target", "seconds"} <= value.keys()
    assert (value["schema_version"], value["study"]) == (SCHEMA_VERSION, "tiny")
    assert value["machine"]["cpu_model"] == read_machine()["cpu_model"]
    assert {"top1_fp32", "top1_int8", "latency_us", "throughput_sps", "macs"} <= value["baseline"].keys()
    assert {"latency_predicted", "accuracy_measured"} <= value["evaluations"].keys()
    assert 1 <= len(value["finalists"]) <= 2
    for one in value["finalists"]:
        assert {"architecture", "macs", "predicted", "measured", "files"} <= one.keys()
        assert {"latency_us", "interval_us", "top1"} <= one["predicted"].keys()
        assert {"latency_us", "throughput_sps", "speedup", "top1_fp32", "top1_int8"} <= one["measured"].keys()
        assert one["files"].keys() == KINDS


@pytest.mark.slow
def test_numbers_are_of_one_world(result):
    value, base = result.value, result.value["baseline"]
    numbers = [base, *(one["measured"] for one in value["finalists"])]
    for one in numbers:
        assert one["latency_us"] > 0
        assert one["throughput_sps"] > 0
    for one in value["finalists"]:
        measured = one["measured"]
        assert measured["speedup"] == pytest.approx(base["latency_us"] / measured["latency_us"])
        assert one["macs"] <= base["macs"]
        assert one["predicted"]["latency_us"] > 0
        low, high = one["predicted"]["interval_us"]
        if low is not None:
            assert low <= one["predicted"]["latency_us"] <= high
    speeds = [value["anchor_speed"], *(w["latency_then_us"] / w["latency_us"] for w in value["witnesses"])]
    assert (len(speeds) > 2) == (result.folder.parent / "profiling").is_dir()
    assert value["machine_speed"] == pytest.approx(np.exp(np.median(np.log(speeds))))
    assert value["machine_speed"] > 0
    largest = value["baseline"]["architecture"]
    assert largest not in [w["architecture"] for w in value["witnesses"]]
    assert value["evaluations"]["latency_predicted"] >= value["evaluations"]["accuracy_measured"]


@pytest.mark.slow
def test_files_exist_and_belong_to_the_finalists(result):
    for one in (result.value["baseline"], *result.value["finalists"]):
        paths = [Path(p) for p in one["files"].values()]
        assert [p for p in paths if not p.is_file()] == []
        assert Path(one["files"]["ir"]).with_suffix(".bin").is_file()
    for one in result.value["finalists"]:
        card = json.loads(Path(one["files"]["ir"]).with_name("card.json").read_text())
        assert (card["architecture"], card["measured"]) == (one["architecture"], one["measured"])
    assert list(result.folder.rglob("*.partial")) == []


@pytest.mark.slow
@pytest.mark.skipif(not has_vnni(read_machine()), reason="this CPU has no VNNI, so INT8 need not be executed")
def test_everything_measured_is_int8(result):
    for one in (result.value["baseline"], *result.value["finalists"]):
        n_int8, n_layers = one["int8_layers"]
        assert n_int8 == n_layers > 2


def front(folder: Path) -> list[dict[str, str]]:
    with (folder / "front.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_front_is_not_dominated_and_holds_the_finalists(result):
    rows = front(result.folder)
    latency = [float(row["predicted_latency_us"]) for row in rows]
    assert latency == sorted(set(latency))
    name = "top1_validation" if result.value["evaluations"]["accuracy_measured"] else "macs"
    quality = [float(row[name]) for row in rows]
    assert quality == sorted(set(quality))
    on_front = {row["architecture"] for row in rows}
    finalists = {one["architecture"] for one in result.value["finalists"]}
    assert finalists & on_front
    if not finalists <= on_front:  # slower ones, only where the front has no more
        assert on_front <= finalists
        assert result.value["evaluations"]["accuracy_measured"]
        with (result.folder / "candidates.csv").open(newline="") as file:
            known = {row["architecture"]: row for row in csv.DictReader(file)}
        for architecture in finalists - on_front:
            assert float(known[architecture]["predicted_latency_us"]) > latency[-1]
            assert float(known[architecture][name]) <= quality[-1]


@pytest.mark.slow
def test_accuracies_with_data(with_data):
    value = with_data.value
    assert value["evaluations"]["accuracy_measured"] == 12
    for one in value["finalists"]:
        assert 0 <= one["predicted"]["top1"] <= 1
    for one in (value["baseline"], *(f["measured"] for f in value["finalists"])):
        assert 0 <= one["top1_fp32"] <= 1
        assert abs(one["top1_int8"] - one["top1_fp32"]) < 0.15
    assert value["baseline"]["top1_int8"] > 0.3  # ten classes: it has learned something
    assert "accuracy not measured" not in (with_data.folder / "report.html").read_text()


@pytest.mark.slow
def test_without_data_the_stand_in_is_declared(without_data):
    value = without_data.value
    assert value["evaluations"]["accuracy_measured"] == 0
    assert {one["predicted"]["top1"] for one in value["finalists"]} == {None}
    for one in (value["baseline"], *(f["measured"] for f in value["finalists"])):
        assert (one["top1_fp32"], one["top1_int8"]) == (None, None)
    assert {row["top1_validation"] for row in front(without_data.folder)} == {"accuracy not measured"}
    assert "accuracy not measured" in without_data.text
    assert "accuracy not measured" in (without_data.folder / "report.html").read_text()


@pytest.fixture(scope="module")
def again(with_data, tmp_path_factory) -> Result:
    """The same search over an earlier one's files, but without its evaluations and for one finalist, which a
    stand-in for LoadGen judges."""
    runs = tmp_path_factory.mktemp("again") / "runs"
    shutil.copytree(with_data.folder.parent, runs / "tiny")
    folder = runs / "tiny/search"
    (folder / "evaluations.sqlite").unlink()
    (folder / "front.csv").unlink()
    options = [*with_data.options[:-1], "1", "--runs-dir", str(runs), "--mlperf", "server"]
    options += ["--latency-bound", "20ms"]

    def judged(networks, scenarios, place, bar, *, is_quick, bound_ms, on_row):
        known = json.loads((folder / "search.json").read_text())  # a kill would lose none of it
        files = [one["files"]["ir"] for one in (known["baseline"], *known["finalists"])]
        assert [str(path) for _, path in networks] == files
        assert all(path.is_file() for _, path in networks)
        head = {"scenario": scenarios[0], "metric": "samples/s", "is_quick": is_quick, "bound_ms": bound_ms}
        rows = []
        for name, _ in networks:
            rows.append({**head, "network": name, "value": 7.5, "verdict": "VALID"})
            on_row(rows)
            assert json.loads((folder / "search.json").read_text())["mlperf"] == rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("search.mlperf.measure_finalists", judged)
        patch.setattr("search.loadgen.require_loadgen", lambda: None)
        measure_briefly(patch)
        out, err = call(run.main, *options)
    return Result(folder, options, json.loads(out), err)


@pytest.mark.slow
def test_loadgen_s_figures_join_those_that_were_written(again):
    assert json.loads((again.folder / "search.json").read_text()) == again.value
    assert [run["network"] for run in again.value["mlperf"]] == ["baseline", "finalist 1"]
    for one, judged in zip(
        (again.value["baseline"], *again.value["finalists"]), again.value["mlperf"], strict=True
    ):
        card = json.loads(Path(one["files"]["ir"]).with_name("card.json").read_text())
        assert card["mlperf"] == [judged]
        assert (judged["bound_ms"], judged["is_quick"]) == (20.0, False)


@pytest.mark.slow
def test_loadgen_s_rows_are_found_again_by_a_repeated_search(with_data, again, tmp_path):
    """Their networks are built once more, and are known by what is in their files."""
    first, second = (Path(one.value["baseline"]["files"]["ir"]) for one in (with_data, again))
    other = Path(again.value["finalists"][0]["files"]["ir"])
    path, row = tmp_path / "unfinished.json", {"value": 7.5}
    UnfinishedRows(path, [], {}).add(first, "server", row)
    rows = UnfinishedRows(path, [], {})
    assert rows.known(second, "server") == row
    assert rows.known(other, "server") is None
    assert rows.known(second, "offline") is None
    value = json.loads(path.read_text())
    for kept in value["rows"].values():
        kept["at"] -= 25 * 3600
    path.write_text(json.dumps(value))
    assert UnfinishedRows(path, [], {}).known(second, "server") is None  # of another day


@pytest.mark.slow
@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 2), (OvnasError("another measures"), 0)])
def test_what_was_measured_is_written_before_it_goes_back(
    with_data, tmp_path, monkeypatch, capsys, brief, error, code
):
    shutil.copytree(with_data.folder.parent, tmp_path / "runs/tiny")
    folder = tmp_path / "runs/tiny/search"
    (folder / "search.json").unlink()

    def stopped(*_):
        raise error

    monkeypatch.setattr("search.refresh.store_finalists", stopped)
    assert run.main([*with_data.options, "--runs-dir", str(tmp_path / "runs")]) == code
    note = "finalists were not added to the measurements: another measures"
    assert (note in capsys.readouterr().err) == (code == 0)
    value = json.loads((folder / "search.json").read_text())
    assert [one["architecture"] for one in value["finalists"]] == [
        one["architecture"] for one in with_data.value["finalists"]
    ]
    assert all(Path(one["files"]["ir"]).is_file() for one in value["finalists"])
    assert (folder / "report.html").is_file()


@pytest.mark.slow
def test_an_interrupted_round_leaves_those_before_it(with_data, tmp_path, monkeypatch, capsys, brief):
    shutil.copytree(with_data.folder.parent, tmp_path / "runs/tiny")
    folder = tmp_path / "runs/tiny/search"
    (folder / "search.json").unlink()

    def begun(study, arguments, workshop, *_):
        (workshop.folder / "03").mkdir()  # a network of the next round, half built
        raise KeyboardInterrupt

    monkeypatch.setattr("search.refresh.refreshed", begun)
    options = [*with_data.options, "--runs-dir", str(tmp_path / "runs"), "--rounds", "2", "--finetune", "1"]
    assert run.main(options) == 2
    assert "finalist 2 of 2 to be trained on for 1 epoch(s)" in " ".join(capsys.readouterr().err.split())
    finalists = json.loads((folder / "search.json").read_text())["finalists"]
    # Where the epoch made it no better, the former weights are kept, and it is not called fine-tuned.
    assert [one["finetuning"]["epochs"] for one in finalists] == [one["is_finetuned"] for one in finalists]
    assert sorted(p.name for p in (folder / "finalists").iterdir()) == ["01", "02", "baseline"]


@pytest.mark.slow
def test_two_searches_of_one_study_at_once_are_refused(with_data, capsys):
    with alone_in(with_data.folder):
        assert run.main(with_data.options) == 2
    assert "another process works in" in capsys.readouterr().err


@pytest.mark.slow
def test_the_same_seed_finds_the_same_front(with_data, again):
    assert (again.folder / "front.csv").read_bytes() == (with_data.folder / "front.csv").read_bytes()
    assert again.value["evaluations"] == with_data.value["evaluations"]
    (one,), (first, *_) = again.value["finalists"], with_data.value["finalists"]
    for key in ("architecture", "macs"):
        assert one[key] == first[key]
    for key in ("latency_us", "top1"):  # the interval knows of the machine's speed, which is measured anew
        assert one["predicted"][key] == first["predicted"][key]
    for key in ("top1_fp32", "top1_int8"):
        assert one["measured"][key] == first["measured"][key]


@pytest.mark.slow
def test_the_baseline_s_own_architecture_takes_no_finalist_s_place(result):
    assert result.value["baseline"]["architecture"] not in {
        one["architecture"] for one in result.value["finalists"]
    }


@pytest.mark.slow
def test_an_error_in_writing_leaves_the_earlier_search(with_data, tmp_path, capsys, brief):
    shutil.copytree(with_data.folder.parent, tmp_path / "runs/tiny")
    folder = tmp_path / "runs/tiny/search"

    def written() -> dict[str, bytes]:
        own = [*folder.glob("*.csv"), folder / "search.json", folder / "report.html", folder / "front.png"]
        own += [p for p in (folder / "finalists").rglob("*") if p.is_file()]
        return {str(p): p.read_bytes() for p in own}

    def full(*_):
        raise OSError(28, "No space left on device")

    before = written()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("search.report.write_page", full)
        assert run.main([*with_data.options, "--runs-dir", str(tmp_path / "runs"), "--finalists", "1"]) == 2
    assert "the disk is full: free some space" in capsys.readouterr().err
    assert written() == before
    assert run.main([*with_data.options, "--runs-dir", str(tmp_path / "runs"), "--finalists", "1"]) == 0
    assert written() != before
    assert not list(folder.glob("*.partial"))
    assert not (folder / "finalists.earlier").exists()


@pytest.mark.slow
def test_no_finalist_of_an_earlier_search_is_left(again):
    assert {p.name for p in (again.folder / "finalists").iterdir()} == {"baseline", "01"}


@pytest.mark.slow
def test_figures_come_with_their_uncertainty(result):
    value = result.value
    for one in value["finalists"]:
        measured = one["measured"]
        for name in ("speedup", "throughput_speedup", "speedup_fp32", "throughput_speedup_fp32"):
            low, high = measured[f"{name}_interval"]
            assert 0 < low <= high
            assert low * 0.8 < measured[name] < high * 1.25
        assert measured["is_faster"] == (measured["speedup_interval"][0] > 1)
        assert one["is_feasible"] == (one["violations"] == [])
        assert one["model_bytes"] == Path(one["files"]["ir"]).with_suffix(".bin").stat().st_size
    assert value["baseline"]["fp32"]["latency_us"] > 0
    for one in value["finalists"]:
        measured = one["measured"]
        for name, unit in (("latency", "us"), ("throughput", "sps")):
            low, high = measured[f"{name}_interval_{unit}"]
            assert low <= measured[f"{name}_{unit}"] * 1.25
            assert high >= measured[f"{name}_{unit}"] * 0.8
        ends = [measured["latency_us"] * measured["speedup"] / us for us in measured["latency_interval_us"]]
        assert ends[::-1] == pytest.approx(measured["speedup_interval"])
    assert value["seconds_of"].keys() >= {"searching", "building", "measuring"}
    volumes = [one["hypervolume"] for one in value["history"]]
    assert volumes == sorted(volumes)
    if value["is_accuracy"]:
        top1, n = value["baseline"]["top1_int8"], value["n_test"]
        assert value["baseline"]["top1_int8_se"] == error_of_share(top1, n)


@pytest.mark.slow
def test_all_evaluated_architectures_are_in_a_file(with_data):
    with (with_data.folder / "candidates.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == with_data.value["evaluations"]["accuracy_measured"]
    by_name = {row["architecture"]: row for row in rows}
    for one in with_data.value["finalists"]:
        row = by_name[one["architecture"]]
        assert float(row["quality"]) == one["predicted"]["top1"]
        assert int(row["macs"]) == one["macs"]
        assert int(row["n_parameters"]) == one["n_parameters"]
        assert int(row["model_bytes"]) == pytest.approx(one["model_bytes"], rel=0.1)


@pytest.mark.slow
def test_finalists_are_measured_for_the_predictor_too_and_judge_none(with_data):
    with Store.open(with_data.folder.parent / "profiling/measurements.sqlite") as store:
        records = {str(r.architecture): r for r in store.records()}
    for one in with_data.value["finalists"]:
        assert records[one["architecture"]].kernels
    added = {name for name, r in records.items() if r.chosen_as == "finalist"}
    assert added <= {one["architecture"] for one in with_data.value["finalists"]}
    data = load_dataset([with_data.folder.parent / "profiling/measurements.sqlite"])
    assert not added & {str(e.record.architecture) for e in data.test}


@pytest.mark.slow
def test_nothing_feasible_gives_the_nearest_and_another_exit_code(with_data, tmp_path, capsys, brief):
    shutil.copytree(with_data.folder.parent, tmp_path / "runs/tiny")
    options = [*with_data.options, "--runs-dir", str(tmp_path / "runs"), "--max-latency", "1us"]
    options.remove("--json")
    assert run.main(options) == 2
    line = capsys.readouterr().err
    assert re.search(
        r"none of 12 architectures seen keeps to --max-latency 0.001ms .*the nearest is w\S+", line
    )
    value = json.loads((tmp_path / "runs/tiny/search/search.json").read_text())
    assert [one["is_feasible"] for one in value["finalists"]] == [False]
    assert value["finalists"][0]["violations"][0].startswith("max_latency: ")
    assert Path(value["finalists"][0]["files"]["ir"]).is_file()


@pytest.mark.slow
def test_what_is_asked_for_besides_is_built_and_measured(with_data, tmp_path, brief):
    shutil.copytree(with_data.folder.parent, tmp_path / "runs/tiny")
    smallest = str(
        load_supernet(Study.load(with_data.options[1]), tmp_path / "runs/tiny/supernet")[0].space.smallest
    )
    options = [*with_data.options, "--finalists", "1", "--also", smallest, "--also", smallest]
    value = json.loads(call(run.main, *options, "--runs-dir", str(tmp_path / "runs"))[0])
    found = [one["architecture"] for one in value["finalists"]]
    assert len(found) == len(set(found)) <= 2
    assert smallest in found
    assert run.main([*options, "--also", "w1_d1"]) == 2
