from __future__ import annotations

import json
import os

import pytest

from profiling import activity, cpu, machine
from profiling.machine import (
    FACTS,
    allowed_threads,
    conditions,
    cpu_name,
    default_threads,
    describe_difference,
    has_vnni,
    main,
    read_target,
)
from supernet import OvnasError
from supernet.study import TargetSection


@pytest.fixture(scope="module")
def here():
    return machine.read_machine()


def test_every_fact_is_read_as_json(here):
    assert list(here) == [fact.name for fact in FACTS]
    assert json.loads(json.dumps(here)) == here
    assert all(here[fact.name] not in (None, "", []) for fact in FACTS if fact.must_agree)
    assert here["logical_cpus"] == os.cpu_count()


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_only_facts_that_must_agree_are_a_difference(here, fact):
    other = {**here, fact.name: "another"}
    text = describe_difference(other, here)
    assert bool(text) == fact.must_agree
    if fact.must_agree:
        assert text == f"{fact.name}: 'another' there, {here[fact.name]!r} here"


def test_all_differences_are_named(here):
    assert describe_difference(here, dict(here)) == ""
    other = {**here, "openvino": "1", "cpu_model": "2"}
    assert "openvino: '1' there" in describe_difference(other, here)
    assert "cpu_model: '2' there" in describe_difference(other, here)
    missing = {name: value for name, value in here.items() if name != "l2_cache"}
    assert describe_difference(missing, here).startswith("l2_cache: None there")


def test_target_defaults_are_filled_in():
    assert read_target(TargetSection(threads=0, batch=4)) == {
        "mode": "latency",
        "threads": default_threads(),
        "streams": 1,
        "batch": 4,
    }
    assert read_target(TargetSection(threads=1))["threads"] == 1


def test_too_many_threads_are_refused():
    n = allowed_threads()
    with pytest.raises(OvnasError, match=rf"threads is {n + 1}, but this process may use {n} CPU"):
        read_target(TargetSection(threads=n + 1))


@pytest.mark.parametrize(
    ("quota", "affinity", "n"),
    [(None, 6, 6), (2.0, 6, 2), (2.5, 6, 2), (0.5, 6, 1), (16.0, 6, 6), (None, 1, 1)],
)
def test_threads_follow_affinity_and_quota(monkeypatch, quota, affinity, n):
    monkeypatch.setattr(cpu, "quota", lambda: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
    assert allowed_threads() == n


@pytest.mark.parametrize(
    ("quota", "affinity", "cores", "n"),
    [(None, 8, 4, 4), (6.0, 8, 4, 4), (3.5, 8, 4, 3), (0.5, 8, 4, 1), (None, 1, 1, 1)],
)
def test_threads_default_to_physical_cores(monkeypatch, quota, affinity, cores, n):
    monkeypatch.setattr(cpu, "quota", lambda: quota)
    monkeypatch.setattr(cpu, "affinity", lambda: list(range(affinity)))
    monkeypatch.setattr(cpu, "physical_cores", lambda cpus: {affinity: cores}[len(cpus)])
    assert default_threads() == n <= allowed_threads()
    assert read_target(TargetSection(threads=0))["threads"] == n
    assert read_target(TargetSection(threads=allowed_threads()))["threads"] == allowed_threads()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [(["avx512_vnni"], True), (["avx_vnni", "avx2"], True), (["avx2"], False), ([], False)],
)
def test_vnni(flags, expected):
    assert has_vnni({"flags": flags}) is expected


def test_conditions_name_machine_and_target(here, known):
    text = conditions(here, known.target)
    assert text.startswith(here["cpu_model"])
    for part in ("1 thread(s)", "batch 1", "latency mode", "INT8", here["openvino"].split("-")[0]):
        assert part in text


@pytest.mark.parametrize(
    ("model", "expected"),
    [("AMD EPYC", "AMD EPYC (family 25.1)"), ("Intel(R) Xeon(R) Gold 6338", "Intel(R) Xeon(R) Gold 6338")],
)
def test_a_bare_name_has_its_family(model, expected):
    assert cpu_name({"cpu_model": model, "cpu_family": "25.1"}) == expected


def test_names_of_facts_are_unique():
    assert len({fact.name for fact in FACTS}) == len(FACTS)


def test_facts_are_read_the_same_twice(here):
    """What changes by the second is no fact of a machine: it would be stored with every measurement."""
    assert machine.read_machine() == here
    assert not set(activity.read_activity(0.0)) & set(here)


@pytest.fixture
def write_target(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "s.toml"
        path.write_text(f'[model]\nfactory = "a:b"\ninput_shape = [3, 8, 8]\n[target]\n{text}\n')
        return str(path)

    return write


def test_the_command_prints_facts_properties_and_findings(capsys, here, write_target):
    assert main(["--study", write_target("threads = 1"), "--json"]) == 0
    captured = capsys.readouterr()
    value = json.loads(captured.out)
    assert value["facts"] == here
    assert value["properties"]["INFERENCE_NUM_THREADS"] == 1
    assert {f["severity"] for f in value["findings"]} <= {"warning", "note"}
    said = " ".join(captured.err.split())
    for word in (*here, *value["properties"], *(f["severity"] for f in value["findings"])):
        assert word in said


def test_a_target_that_this_machine_cannot_give_is_a_finding(capsys, write_target):
    n = allowed_threads() + 1
    assert main(["--study", write_target(f"threads = {n}"), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["findings"][0]
    assert first["severity"] == "warning"
    assert first["what"].startswith(f"[target] threads is {n}")
    assert first["remedy"].startswith(f"[target] threads <= {n - 1}")
