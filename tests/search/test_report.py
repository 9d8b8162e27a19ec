from __future__ import annotations

import copy

import pytest

from search.report import (
    COLUMNS,
    NOT_MEASURED,
    best_of,
    prediction_error,
    rows_of,
    verdict,
    write_page,
)

FILES = {"ir": "a/model.xml", "onnx": "a/model.onnx", "weights": "a/weights.safetensors"}
VALUE = {
    "study": "digits <b>",
    "machine": {"cpu_model": "CPU & co", "openvino": "2026.1.0-1-abc", "logical_cpus": 8},
    "target": {"mode": "latency", "threads": 2, "streams": 1, "batch": 4},
    "machine_speed": 0.5,
    "constraints": {"max_accuracy_drop": 2.0},
    "quality": "validation top-1",
    "baseline": {
        "top1_fp32": 0.98765,
        "top1_int8": 0.975,
        "latency_us": 2000.0,
        "throughput_sps": 1234.5678,
        "macs": 50_000_000,
        "files": FILES,
    },
    "finalists": [
        {
            "architecture": "w8-16_d1",
            "macs": 12_500_000,
            "predicted": {"latency_us": 275.0, "interval_us": [270.0, 280.0], "top1": 0.97},
            "measured": {
                "latency_us": 500.0,
                "throughput_sps": 4000.0,
                "speedup": 4.0,
                "top1_fp32": 0.96,
                "top1_int8": 0.955,
            },
            "files": FILES,
        }
    ],
    "evaluations": {"latency_predicted": 12_345, "accuracy_measured": 12},
}


@pytest.fixture
def value():
    return copy.deepcopy(VALUE)


@pytest.fixture
def blind(value):
    """The same study without data."""
    value["baseline"] |= {"top1_fp32": None, "top1_int8": None}
    value["finalists"][0]["predicted"]["top1"] = None
    value["finalists"][0]["measured"] |= {"top1_fp32": None, "top1_int8": None}
    value["evaluations"]["accuracy_measured"] = 0
    return value


def test_prediction_error_is_at_the_speed_of_profiling(value):
    one = value["finalists"][0]
    assert prediction_error(value, one) == pytest.approx(275 / 250 - 1)
    value["machine_speed"] = 1.0
    assert prediction_error(value, one) == pytest.approx(275 / 500 - 1)


def test_rows(value):
    rows = rows_of(value)
    assert rows == [
        ["INT8 baseline", "50.0", "98.77%", "97.50%", "", "", "2.000", "", "1235", "1.00x"],
        [
            "finalist 1",
            "12.5",
            "96.00%",
            "95.50%",
            "0.275",
            "0.270 to 0.280",
            "0.500",
            "+10.0%",
            "4000",
            "4.00x",
        ],
    ]
    assert {len(row) for row in rows} == {len(COLUMNS)}


def test_an_interval_without_ends_is_none(value):
    value["finalists"][0]["predicted"]["interval_us"] = [0.0, None]
    assert rows_of(value)[1][COLUMNS.index("interval ms")] == "none"


def test_rows_without_accuracy(blind):
    assert [row[2:4] for row in rows_of(blind)] == [[NOT_MEASURED] * 2] * 2


def page_of(value, candidates, tmp_path, quality) -> str:
    path = tmp_path / "report.html"
    write_page(value | {"quality": quality}, candidates, candidates[:2], candidates[:1], path)
    return path.read_text(encoding="utf-8")


def test_page(tmp_path, value, candidates_of):
    candidates = candidates_of([(300, 0.8), (500, 0.9), (600, 0.85)])
    text = page_of(value, candidates, tmp_path, "validation top-1")
    assert NOT_MEASURED not in text
    assert "not measured" not in text
    for part in (
        "4.00x",
        "-2.00 points",
        "+10.0%",
        "12,345",
        "digits &lt;b&gt;",
        "CPU &amp; co",
        "2026.1.0;",
    ):
        assert part in text
    for candidate in candidates:
        assert f"<title>{candidate.architecture}\n" in text
    assert all(name in text for name in FILES.values())


def test_page_without_accuracy_says_so(tmp_path, blind, candidates_of):
    text = page_of(blind, candidates_of([(300, 8), (500, 9)]), tmp_path, "million MACs (stand-in)")
    assert NOT_MEASURED in text
    assert "stand-in" in text
    assert "points" not in text.split("<h2>")[0]


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        (0.0, None),
        (0.019, None),
        (0.02, 0),
        (0.05, 1),
    ],
)
def test_the_best_is_the_fastest_that_keeps_to_the_drop(value, allowed, expected):
    worse = copy.deepcopy(value["finalists"][0])
    worse["measured"] |= {"top1_int8": 0.93, "speedup": 9.0}
    value["finalists"].append(worse)
    value["constraints"]["max_accuracy_drop"] = 100 * allowed
    assert best_of(value) == expected
    if expected is None:
        assert verdict(value).startswith("no finalist is within")
    else:
        assert f"finalist {expected + 1}, " in verdict(value)


def test_without_accuracy_the_best_is_the_fastest(blind):
    assert best_of(blind) == 0
