"""Runs of a second or less by the real LoadGen, on a tiny network."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import openvino as ov
import pytest

from search import loadgen
from search.loadgen import Test, Trial, run_performance, run_trials
from search.measurement import Plan, choose, measure_scenario
from search.scenario import SCENARIOS, Arrangement, candidates
from supernet.errors import OvnasError
from supernet.int8 import quantize, to_openvino

pytest.importorskip("mlperf_loadgen")

ONE = Arrangement(1, 1, 1, 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory, tiny_network, tiny_images):
    module = tiny_network.extract(tiny_network.space.largest)
    path = tmp_path_factory.mktemp("model") / "tiny.xml"
    ov.save_model(quantize(to_openvino(module, tiny_images[:1]), tiny_images), path)
    return path


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_runs(model, tmp_path, scenario):
    arrangement = candidates(SCENARIOS[scenario], 1)[-1]
    test = Test(model, scenario, arrangement, tmp_path, rate=200, latency_ms=1, duration_s=0.3, n_queries=20)
    waited = []
    found = run_performance(test, waited.append)
    assert found.scenario == SCENARIOS[scenario].loadgen
    assert found.value > 0
    assert found.parameters["min_duration (ms)"] == 300
    assert found.parameters["performance_sample_count"] == loadgen.QUICK_SAMPLES
    assert waited == sorted(waited)
    assert (tmp_path / "mlperf_log_detail.txt").is_file()


def test_the_rules_hold_where_no_duration_is_given(tmp_path):
    for scenario in SCENARIOS:
        text = Test(tmp_path, scenario, ONE, tmp_path).settings()
        assert "duration" not in text
        assert "count" not in text
    assert "*.Server.target_latency = 15\n" in Test(tmp_path, "server", ONE, tmp_path).settings()


def test_a_test_survives_json(tmp_path):
    test = Test(tmp_path / "m.xml", "server", ONE, tmp_path, rate=3.5, trials=(ONE, Arrangement(2, 2, 1, 2)))
    assert Test.from_json(test.to_json()) == test


def test_a_server_s_run_follows_the_search(model, tmp_path, monkeypatch):
    tried = []

    def find_rate(meets, guess, tolerance):
        tried.append(meets(2000.0))
        return 2000.0

    monkeypatch.setattr("search.measurement.find_rate", find_rate)
    monkeypatch.setattr("search.measurement._SEARCH_S", {True: (0.2, 20)})
    monkeypatch.setattr("search.measurement._MOST_FINAL_RUNS", 1)
    monkeypatch.setattr("search.measurement.BOUNDS", 1)
    plan = Plan(is_quick=True, bound_ms=200.0, arrangement=ONE, quick_s=0.3)
    found = measure_scenario(model, "server", plan, tmp_path, threads=1)
    assert {rate for rate, _ in found.tried} == {2000.0}
    assert any(met for _, met in found.tried) == tried[0]
    assert found.summary.parameters["target_qps"] == 2000
    assert found.summary.parameters["target_latency (ns)"] == 200_000_000
    value = found.to_json()
    assert value["is_quick"]
    assert value["bound_ms"] == 200.0


@pytest.mark.parametrize("most", [2000.0, 1950.0, 900.0, 420.0])
def test_a_rate_that_only_short_runs_met_falls_to_the_highest_that_loadgen_calls_valid(served, most):
    found, rates = served(most)
    assert found.summary.is_valid
    assert most / 1.13 <= found.summary.value <= most
    assert found.summary.value == max(rate for rate in rates if rate <= most)
    assert len(set(rates)) == len(rates) <= 10
    assert found.refused_rate == min((rate for rate in rates if rate > most), default=None)


def test_a_rate_that_met_the_bound_once_was_not_refused(served, monkeypatch):
    met = {2100.0: iter([False, True]), 2200.0: iter([False, False])}

    def find_rate(meets, *_, **__):
        assert meets(2100.0)
        assert not meets(2200.0)
        return 2000.0

    found, _ = served(5000.0, find_rate, lambda rate: next(met[rate]) if rate in met else True)
    assert found.refused_rate == 2200.0


def test_where_no_rate_is_valid_the_last_one_says_so(served):
    found, rates = served(1.0)
    assert not found.summary.is_valid
    assert found.summary.value == rates[-1] < 0.2 * rates[0]
    assert rates == sorted(rates, reverse=True)


@pytest.fixture
def served(model, tmp_path, monkeypatch):
    """The Server scenario where a search by short runs ends at 2,000 a second, and no run above `most` is
    valid: what is found, and the rates of the final runs."""

    def serve(most: float, find_rate=lambda *_, **__: 2000.0, meets=lambda rate: True):
        rates: list[float] = []

        def performance(test, *_):
            rates.append(test.rate)
            return SimpleNamespace(is_valid=test.rate <= most, meets_bound=meets(test.rate), value=test.rate)

        trial = Trial(ONE, rate=4000.0, latency_ms=1.0)
        monkeypatch.setattr("search.measurement.find_rate", find_rate)
        monkeypatch.setattr("search.measurement.run_trials", lambda *_: [trial])
        monkeypatch.setattr("search.measurement.run_performance", performance)
        plan = Plan(is_quick=True, arrangement=ONE)
        return measure_scenario(model, "server", plan, tmp_path, threads=1), rates

    return serve


def test_a_bound_below_the_latency_of_one_is_refused(model, tmp_path):
    plan = Plan(is_quick=True, bound_ms=1e-4, arrangement=ONE)
    with pytest.raises(OvnasError, match=r"one inference alone takes .* allow more: --latency-bound"):
        measure_scenario(model, "server", plan, tmp_path, threads=1)


def test_a_batch_that_does_not_fit_is_left_out(model, tmp_path):
    wanted = (ONE, Arrangement(1, 1, 4, 2))
    found = run_trials(Test(model, "offline", ONE, tmp_path, trials=wanted))
    assert [t.arrangement for t in found] == list(wanted)
    assert all(t.rate > 0 and t.latency_ms > 0 for t in found)
    assert choose(SCENARIOS["offline"], found, 15.0) == max(found, key=lambda t: t.rate)


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "broken.xml").write_text("nothing")
    with pytest.raises(OvnasError, match="cannot be read as an OpenVINO model"):
        run_performance(Test(tmp_path / "broken.xml", "offline", ONE, tmp_path / "logs", duration_s=0.1))


def test_without_loadgen(model, tmp_path, monkeypatch):
    monkeypatch.setattr(loadgen.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OvnasError, match="pip install mlcommons-loadgen"):
        run_performance(Test(model, "offline", ONE, tmp_path))


def test_an_interrupt_ends_the_child(model, tmp_path, monkeypatch):
    children = []
    start = subprocess.Popen

    def popen(*args, **options):
        children.append(start(*args, **options))
        return children[-1]

    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(loadgen.subprocess, "Popen", popen)
    with pytest.raises(KeyboardInterrupt):
        run_performance(Test(model, "singlestream", ONE, tmp_path, duration_s=600), interrupt)
    assert children[0].returncode == -signal.SIGKILL


def test_the_child_ends_with_its_parent(model, tmp_path):
    code = (
        "import sys; from pathlib import Path; from search.loadgen import *; from search.scenario import *\n"
        "t = Test(Path(sys.argv[1]), 'singlestream', Arrangement(1, 1, 1, 1), Path(sys.argv[2]), "
        "duration_s=600)\nrun_performance(t)"
    )
    root = os.path.dirname(os.path.dirname(loadgen.__file__))
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(model), str(tmp_path)], env={**os.environ, "PYTHONPATH": root}
    )
    try:
        deadline = time.monotonic() + 60
        child = 0
        while not child and time.monotonic() < deadline:
            time.sleep(0.05)
            with open(f"/proc/{parent.pid}/task/{parent.pid}/children") as file:
                child = int((file.read().split() or ["0"])[0])
    finally:
        parent.kill()
        parent.wait()
    assert child
    while os.path.exists(f"/proc/{child}") and not is_zombie(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def test_a_child_knows_where_the_images_are(monkeypatch):
    monkeypatch.setenv("OVNAS_DATA", "/somewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    environment = loadgen._environment()
    assert environment["OVNAS_DATA"] == "/somewhere"
    assert "OMP_NUM_THREADS" not in environment
