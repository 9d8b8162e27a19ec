from __future__ import annotations

import json

import numpy as np
import pytest

from search.loadgen_log import ACCURACY, SUMMARY, parse_summary, read_predictions, read_summary
from supernet.errors import OvnasError

STATS = """
================================================
Additional Stats
================================================
Min latency (ns)                : 617460
Max latency (ns)                : 3752243
50.00 percentile latency (ns)   : 706213
99.00 percentile latency (ns)   : 2753924
99.90 percentile latency (ns)   : 3752243

================================================
Test Parameters Used
================================================
samples_per_query : 1
target_qps : 190.5
target_latency (ns): 15000000
min_duration (ms): 600000
qsl_rng_seed : 2085463073848966840
"""


def text(scenario: str, headline: str, verdict: str, rest: str = "") -> str:
    return (
        "================================================\nMLPerf Results Summary\n"
        "================================================\nSUT name : PySUT\n"
        f"Scenario : {scenario}\nMode     : PerformanceOnly\n{headline}\nResult is : {verdict}\n{rest}{STATS}"
    )


SERVER = text(
    "Server",
    "Completed samples per second    : 190.78",
    "INVALID",
    "  Performance constraints satisfied : Yes\n  Min duration satisfied : Yes\n"
    "  Min queries satisfied : Yes\n  Early stopping satisfied: NO\nRecommendations:\n"
    "Early Stopping Result:\n * Run unsuccessful.\n * Processed 193 queries.\n",
)
SINGLE = text(
    "SingleStream",
    "90.0th percentile latency (ns) : 582909",
    "VALID",
    "  Min duration satisfied : Yes\n  Min queries satisfied : Yes\n  Early stopping satisfied: Yes\n"
    "Early Stopping Result:\n * Processed at least 64 queries (201).\n"
    " * Would discard 9 highest latency queries.\n * Early stopping 90.0th percentile estimate: 588697\n",
)


def test_a_server_summary():
    found = parse_summary(SERVER)
    assert (found.scenario, found.value, found.verdict) == ("Server", 190.78, "INVALID")
    assert not found.is_valid
    assert found.meets_bound
    assert found.failed() == ["Early stopping satisfied"]
    assert found.percentiles_ms == {50.0: 0.706213, 99.0: 2.753924, 99.9: 3.752243}
    assert found.parameters["min_duration (ms)"] == 600000
    assert found.parameters["target_qps"] == 190.5
    assert found.parameters["qsl_rng_seed"] == 2085463073848966840
    json.dumps(found.to_json())


def test_a_bound_that_was_not_met():
    found = parse_summary(SERVER.replace("constraints satisfied : Yes", "constraints satisfied : NO"))
    assert not found.meets_bound


def test_the_headline_of_an_older_loadgen():
    old = SERVER.replace("Completed samples per second    :", "Scheduled samples per second :")
    assert parse_summary(old).value == 190.78


def test_latency_is_the_early_stopping_estimate_where_there_is_one():
    assert parse_summary(SINGLE).value == 0.588697
    assert parse_summary(SINGLE.replace("* Early stopping 90", "* not 90")).value == 0.582909


def test_offline():
    found = parse_summary(text("Offline", "Samples per second: 1699.95", "VALID"))
    assert (found.value, found.is_valid, found.failed()) == (1699.95, True, [])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("", "no result for scenario ''"),
        (SERVER.replace("INVALID", "MAYBE"), "must say VALID or INVALID, but says 'MAYBE'"),
        (SERVER.replace("Completed", "Imagined"), "no result for scenario 'Server'"),
        (SERVER.replace(": Server", ": Interactive"), "no result for scenario 'Interactive'"),
    ],
)
def test_what_is_no_summary_is_refused(broken, message):
    with pytest.raises(OvnasError, match=message):
        parse_summary(broken)


def test_a_folder_without_a_summary(tmp_path):
    with pytest.raises(OvnasError, match=f"no {SUMMARY}"):
        read_summary(tmp_path)


def write_answers(folder, answers):
    rows = [
        {"seq_id": i, "qsl_idx": index, "data": np.float32(value).tobytes().hex()}
        for i, (index, value) in enumerate(answers)
    ]
    (folder / ACCURACY).write_text(json.dumps(rows))


def test_predictions_are_in_the_samples_order(tmp_path):
    write_answers(tmp_path, [(2, 7), (0, 999), (1, 3)])
    assert read_predictions(tmp_path, 3).tolist() == [999, 3, 7]


def test_samples_that_fill_up_a_query_are_answered_twice(tmp_path):
    write_answers(tmp_path, [(0, 4), (1, 5), (2, 6), (0, 4), (1, 5)])
    assert read_predictions(tmp_path, 3).tolist() == [4, 5, 6]


@pytest.mark.parametrize(
    "answers",
    [[(0, 1)], [(0, 1), (0, 1), (1, 2)], [(0, 1), (2, 1), (3, 1)], [(0, 1), (1, 1), (2, 1), (0, 2)]],
)
def test_each_sample_must_have_one_answer(tmp_path, answers):
    write_answers(tmp_path, answers)
    with pytest.raises(OvnasError, match="must answer each of 3 samples with one class"):
        read_predictions(tmp_path, 3)
