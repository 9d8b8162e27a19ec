from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import pytest

from profiling import collect
from profiling.fitness import Finding
from profiling.repeats import repeat
from profiling.store import Store

pytestmark = pytest.mark.usefixtures("own_lock")


def test_unknown_studies_and_budgets_are_one_line(failing):
    assert "there is no study 'digts'; did you mean 'digits'?" in failing(collect.main, "--study", "digts")
    assert "a budget is a time like" in failing(collect.main, "--budget", "soon")


def test_a_budget_is_not_merged(capsys):
    with pytest.raises(SystemExit, match="2"):
        collect.main(["--budget", "14", "--merge", "other.sqlite"])
    error = capsys.readouterr().err
    assert "argument --merge: not allowed with argument --budget" in error
    assert error.count("\n") == 1


def test_a_second_collector_is_told_who_measures(failing, own_lock):
    from profiling.lock import measuring

    with measuring(own_lock):
        line = failing(collect.main, "--budget", "14")
    assert "another process is measuring on this machine (process " in line


def test_a_wrong_file_is_refused_before_the_work(failing, tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "set_up", lambda *_, **__: pytest.fail("the work has begun"))
    path = tmp_path / "runs" / "tiny" / "profiling" / "measurements.sqlite"
    path.parent.mkdir(parents=True)
    path.write_text("something else\n" * 100)
    assert "no ovnas file" in failing(collect.main, "--budget", "14")
    assert path.read_text() == "something else\n" * 100


def test_measurements_of_another_machine_are_refused_before_the_work(failing, known, tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "set_up", lambda *_, **__: pytest.fail("the work has begun"))
    path = tmp_path / "runs" / "tiny" / "profiling" / "measurements.sqlite"
    machine = {**known.meta()["machine"], "cpu_model": "abacus"}
    with Store.create_or_open(path, known.meta(machine=machine)):
        pass
    before = path.read_bytes()
    assert "cpu_model: 'abacus' there" in failing(collect.main, "--budget", "14")
    assert path.read_bytes() == before


@pytest.fixture
def merging(write_study, known, tmp_path, capsys):
    """Runs `--merge` of a file of ten networks into the study's own of six; returns code and output."""
    own = tmp_path / "runs" / "tiny" / "profiling" / "measurements.sqlite"

    def run(other: Path, has_own: bool = True) -> tuple[int, str, Path]:
        if has_own and not own.exists():
            own.parent.mkdir(parents=True)
            known.write(own, 6)
        study = write_study(tmp_path, data="none")
        arguments = ["--study", str(study), "--runs-dir", str(tmp_path / "runs"), "--merge", str(other)]
        code = collect.main(arguments)
        out, err = capsys.readouterr()
        return code, " ".join((out + err).split()), own

    return run


def test_merge_joins_a_file_of_equal_conditions(merging, known, tmp_path):
    other = known.write(tmp_path / "other.sqlite", 10)
    code, text, own = merging(other)
    assert code == 0
    assert "4 of 10 networks joined, 6 were here already; 10 in" in text
    with Store.open(own) as store:
        assert len(store.records()) == 10


def test_merge_begins_a_file_where_there_is_none(merging, known, tmp_path):
    code, text, own = merging(known.write(tmp_path / "other.sqlite", 5), has_own=False)
    assert code == 0
    assert "5 of 5 networks joined" in text
    assert own.is_file()


def test_merge_refuses_what_it_must(merging, known, tmp_path):
    threads = {**known.target, "threads": 3}
    with Store.create_or_open(tmp_path / "threads.sqlite", known.meta(target=threads)):
        pass
    code, text, own = merging(tmp_path / "threads.sqlite")
    assert code == 2
    assert "target threads: 3 there, 1 here" in text
    with Store.create_or_open(tmp_path / "study.sqlite", known.meta(study="another")):
        pass
    assert "belongs to study 'another', not to 'tiny'" in merging(tmp_path / "study.sqlite")[1]
    assert "cannot be merged with itself" in merging(own)[1]
    assert "there are no measurements at" in merging(tmp_path / "missing.sqlite")[1]
    with Store.open(own) as store:
        assert len(store.records()) == 6


@pytest.mark.slow
def test_batches_in_throughput_mode_are_collected_whole(write_study, own_lock, tmp_path, capsys, monkeypatch):
    """Measured for real in short rounds; the second process's part in this one."""
    monkeypatch.setattr("profiling.timing.ROUND_SECONDS", 0.002)
    monkeypatch.setattr(collect, "warn_of_unfit", lambda *_: [Finding("warning", "noise", "quiet")])
    seen = []

    def in_this_process(arguments, lock):
        seen.append(repeat(argparse.Namespace(**{**vars(arguments), "repeat": os.dup(lock)})))

    monkeypatch.setattr(collect, "repeat_in_fresh_process", in_this_process)
    study = write_study(tmp_path, data="none", target='mode = "throughput"\nstreams = 1\nbatch = 2')
    options = ["--study", str(study), "--runs-dir", str(tmp_path / "runs"), "--budget", "4", "--json"]
    assert collect.main(options) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["networks"], value["unplanned_networks"], value["ceiling"]["networks"]) == (4, 0, 4)
    assert seen == [{"study": "tiny", "repeated": 4}]
    assert value["unfit"] == [{"severity": "warning", "what": "noise", "remedy": "quiet"}]
    with Store.open(Path(value["file"])) as store:
        assert (store.meta["target"]["mode"], store.meta["target"]["batch"]) == ("throughput", 2)
        for record in store.records():
            assert {k.kernel.batch for k in record.kernels} == {2}
            assert sum(k.kernel.macs for k in record.kernels) == pytest.approx(2 * record.macs, rel=0.05)
            assert record.latency_us == pytest.approx(
                record.overhead_us + sum(k.time_us for k in record.kernels)
            )
