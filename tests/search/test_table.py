from __future__ import annotations

import io

import pytest
from rich.console import Console

from search.outcome import Outcome
from search.table import COLUMNS, NOT_MEASURED, print_summary, verdict_of
from search.table import rows_of as rows_of_outcome


def rows_of(value) -> list[list[str]]:
    return rows_of_outcome(Outcome.of(value))


def verdict(value) -> str:
    return verdict_of(Outcome.of(value))


def set_figures(value) -> None:
    """Round numbers for the baseline and the first finalist."""
    value["baseline"] |= {
        "macs": 50_000_000, "latency_us": 2000.0, "throughput_sps": 1234.5, "top1_int8": 0.975,
        "top1_int8_se": None,
    }  # fmt: skip
    one = value["finalists"][0]
    one |= {"macs": 12_500_000, "is_feasible": True, "violations": []}
    one["predicted"] |= {"latency_us": 275.0, "interval_us": [270.0, 281.0]}
    one["measured"] |= {
        "latency_us": 500.0, "latency_then_us": 250.0, "throughput_sps": 4000.0, "speedup": 4.0,
        "speedup_interval": [3.9, 4.1], "top1_int8": 0.955, "top1_int8_se": 0.01,
    }  # fmt: skip


def test_rows(found):
    set_figures(found.value)
    baseline, first, *others = rows_of(found.value)
    assert baseline == ["baseline", "50.0", "97.50", "", "", "2.000", "", "1,234", "1.00x", ""]
    assert first == [
        "finalist 1", "12.5", "95.50±1.00", "0.550", "±2.2%", "0.500", "+10.0%", "4,000", "4.00x",
        "3.90-4.10",
    ]  # fmt: skip
    assert len(others) == len(found.chosen) - 1
    assert {len(row) for row in rows_of(found.value)} == {len(COLUMNS)}


def test_a_fine_tuned_finalist_says_so(found):
    found.value["finalists"][1]["is_finetuned"] = True
    assert [row[0] for row in rows_of(found.value)[1:3]] == ["finalist 1", "finalist 2 (fine-tuned)"]


def test_an_interval_without_ends_is_none(found):
    one = found.value["finalists"][0]
    one["predicted"]["interval_us"] = [0.0, None]
    assert rows_of(found.value)[1][COLUMNS.index("interval")] == "none"


def blind(value) -> None:
    """The same study without data."""
    value |= {"is_accuracy": False, "quality": "million MACs (stand-in: accuracy not measured)"}
    value["baseline"] |= {"top1_fp32": None, "top1_int8": None, "top1_int8_se": None}
    for one in value["finalists"]:
        one["predicted"]["top1"] = None
        one["measured"] |= {
            "top1_fp32": None, "top1_int8": None, "top1_int8_se": None, "top1_int8_change": None,
            "top1_int8_change_se": None,
        }  # fmt: skip


def printed(value) -> str:
    file = io.StringIO()
    print_summary(value, Console(file=file, width=120, highlight=False, markup=False))
    return file.getvalue()


def test_without_accuracy_it_is_said_once(found):
    blind(found.value)
    assert {row[2] for row in rows_of(found.value)} == {"-"}
    assert printed(found.value).count(NOT_MEASURED) == 1
    assert "points" not in verdict(found.value)


def test_without_accuracy_what_was_asked_for_is_still_said(found):
    blind(found.value)
    found.value["constraints"] = {"max_macs": 2e6}
    assert verdict(found.value).startswith("fastest within max_macs 2 million: finalist ")


@pytest.mark.parametrize(("objectives", "stood_in"), [("accuracy,latency", True), ("macs,parameters", False)])
def test_macs_stand_in_only_where_accuracy_was_an_objective(found, tmp_path, objectives, stood_in):
    blind(found.value)
    found.value["objectives"] = objectives.split(",")
    assert ("MACs stood in for it" in printed(found.value)) is stood_in
    assert ("The search maximised MACs" in found.write_page(tmp_path / "report.html")) is stood_in


def test_what_is_bad_is_printed(found):
    value = found.value
    value["finalists"][1]["is_inside_interval"] = False
    value["finalists"][2]["measured"]["is_faster"] = False
    value["mlperf"] = [
        {"network": "baseline", "scenario": "server", "metric": "queries/s", "value": 1234.5,
         "verdict": "INVALID", "is_quick": True,
         "summary": {"checks": {"Min duration satisfied": False, "Min queries satisfied": True}}},
        {"network": "finalist 1", "scenario": "server", "metric": "queries/s", "value": None,
         "verdict": "INVALID", "is_quick": False, "reason": "no rate is low enough"},
    ]  # fmt: skip
    text = printed(value)
    assert "finalist 1 breaks max_accuracy_drop: 1.70 > 1 points" in text
    assert any(line.startswith("measured outside") and "finalist 2" in line for line in text.splitlines())
    assert "not faster than the baseline beyond the noise: finalist 3\n" in text
    quick = "LoadGen, baseline, server: 1,234.5 queries/s, INVALID (not met: min duration), a quick run\n"
    assert quick in text
    assert "finalist 1, server: no figure, INVALID (no rate is low enough)\n" in text


def test_a_row_fits_on_one_line(found):
    lines = printed(found.value).splitlines()
    assert sum(line.startswith("│ finalist") for line in lines) == len(found.chosen)
    assert max(map(len, lines[: len(found.chosen) + 6])) <= 120


def test_verdict_names_the_fastest_and_what_was_asked_for(found):
    text = verdict(found.value)
    assert text.startswith("fastest within max_accuracy_drop 1 point(s): finalist 2, ")
    assert " to " in text


def test_verdict_says_where_fp32_is_as_fast(found):
    assert "FP32" not in verdict(found.value)
    found.value["finalists"][1]["measured"] |= {"speedup_fp32": 0.9, "speedup_fp32_interval": [0.88, 1.01]}
    assert verdict(found.value).endswith("not faster than the FP32 pre-trained model: 0.90x (0.88 to 1.01)")


def test_verdict_claims_no_speed_inside_the_noise(found):
    for one in found.value["finalists"]:
        one["measured"]["is_faster"] = False
    assert verdict(found.value).startswith("no finalist within max_accuracy_drop 1 point(s) is faster")


@pytest.mark.parametrize(
    ("constraints", "text"),
    [
        ({"max_latency_us": 8000.0}, "max_latency 8000 us"),
        (
            {"min_speedup": 2.5, "max_accuracy_drop": 0.5},
            "min_speedup 2.5x and max_accuracy_drop 0.5 point(s)",
        ),
        ({"max_macs": 2e6}, "max_macs 2 million"),
        ({"max_size_bytes": 20_000.0}, "max_size 0.02 MB"),
        ({"max_other": 3.0}, "max_other 3"),
    ],
)
def test_verdict_where_nothing_keeps(found, constraints, text):
    found.value["constraints"] = constraints
    for one in found.value["finalists"]:
        one["is_feasible"] = False
    assert verdict(found.value) == f"no finalist keeps, measured, to {text}"
