from __future__ import annotations

import pytest

from profiling.beginning import set_up, warn_of_unfit
from profiling.fitness import Finding
from profiling.plan import Plan
from supernet import Study, cli


@pytest.fixture
def study(write_study, tmp_path) -> Study:
    return Study.load(str(write_study(tmp_path, data="none")))


@pytest.fixture
def out():
    return cli.console(cli.parser("x", "").parse_args([]))


def test_what_is_unfit_is_warned_of_and_notes_are_left_to_the_machine_command(
    study, out, capsys, monkeypatch
):
    bad, note = Finding("warning", "a busy process", "stop it"), Finding("note", "turbo", "none")
    asked = []
    monkeypatch.setattr("profiling.fitness.find_unfit", lambda *a: (asked.append(a), [bad, note])[1])
    assert warn_of_unfit(study, out) == [bad]
    assert capsys.readouterr().out == "warning: a busy process; remedy: stop it\n"
    ((facts, threads),) = asked
    assert {"cpu_model", "flags", "load_1m", "busy"} <= facts.keys()
    assert threads == 1


def test_a_file_begins_with_what_its_rows_must_agree_in(study, out):
    bench, meta = set_up(study, out, is_new=False)
    assert set(meta) == {"study", "machine", "properties", "target", "plan"}
    assert Plan.from_json(meta["plan"]) == bench.plan
    assert meta["properties"]["INFERENCE_NUM_THREADS"] == meta["target"]["threads"] == 1
