from __future__ import annotations

import copy

import pytest

from search.outcome import Outcome, Ratio
from search.table import change_text

OLD = {
    "schema_version": 2,
    "study": "digits",
    "machine": {"cpu_model": "CPU", "openvino": "2026.1.0-1-abc", "logical_cpus": 8},
    "target": {"mode": "latency", "threads": 2, "streams": 1, "batch": 4},
    "quality": "validation top-1",
    "predictor": "xgb",
    "seed": 0,
    "machine_speed": 0.5,
    "max_accuracy_drop": 0.02,
    "baseline": {
        "top1_fp32": 0.98,
        "top1_int8": 0.975,
        "latency_us": 2000.0,
        "throughput_sps": 1234.5,
        "macs": 50_000_000,
        "files": {"ir": "a/model.xml"},
    },
    "finalists": [
        {
            "architecture": "w8-16_d1",
            "macs": 12_500_000,
            "predicted": {"latency_us": 275.0, "interval_us": [270.0, None], "top1": 0.97},
            "measured": {
                "latency_us": 500.0,
                "throughput_sps": 4000.0,
                "speedup": 4.0,
                "top1_fp32": 0.96,
                "top1_int8": 0.955,
            },
            "files": {"ir": "b/model.xml"},
        }
    ],
    "evaluations": {"latency_predicted": 12_345, "accuracy_measured": 12},
}


@pytest.fixture
def old():
    return copy.deepcopy(OLD)


def test_prediction_error_is_at_the_speed_of_profiling(old):
    (one,) = Outcome.of(old).finalists
    assert one.error == pytest.approx(275 / 250 - 1)
    old["machine_speed"] = 1.0
    assert Outcome.of(old).finalists[0].error == pytest.approx(275 / 500 - 1)


def test_an_older_file_lacks_what_it_did_not_measure(old):
    outcome = Outcome.of(old)
    (one,) = outcome.finalists
    assert (one.interval_us, one.is_inside, one.is_faster, one.speedup.excludes_one) == (None,) * 4
    assert (outcome.history, outcome.layers, outcome.scenarios) == ((), (), ())
    assert outcome.is_accuracy
    assert outcome.constraints == {"max_accuracy_drop": 2.0}


@pytest.mark.parametrize(("allowed", "feasible"), [(0.0, False), (0.019, False), (0.02, True)])
def test_an_older_file_is_judged_by_its_accuracy_drop(old, allowed, feasible):
    old["max_accuracy_drop"] = allowed
    outcome = Outcome.of(old)
    assert outcome.finalists[0].is_feasible is feasible
    assert (outcome.best is None) is not feasible
    assert bool(outcome.finalists[0].violations) is not feasible


def test_what_the_file_says_of_feasibility_holds(found):
    one = found.value["finalists"][-1]
    one["measured"]["top1_int8"] = 0.1
    assert Outcome.of(found.value).finalists[-1].is_feasible
    one |= {"is_feasible": False, "violations": ["max_latency: 8.3 ms > 8 ms"]}
    assert Outcome.of(found.value).finalists[-1].violations == ("max_latency: 8.3 ms > 8 ms",)


def test_the_best_is_the_fastest_that_keeps_to_everything(found):
    outcome = Outcome.of(found.value)
    assert not outcome.finalists[0].is_feasible
    assert outcome.best == outcome.finalists[1]
    slow, wide = found.value["finalists"][-1]["measured"], {"mode": "throughput"}
    slow["throughput_speedup"] = 99.0
    assert Outcome.of(found.value).best.name == "finalist 2"
    found.value["target"] |= wide
    assert Outcome.of(found.value).best.name == "finalist 4"


def test_faster_is_what_the_interval_says_where_the_file_does_not(found):
    measured = found.value["finalists"][1]["measured"]
    del measured["is_faster"]
    measured["speedup_interval"] = [1.0001, 1.2]
    assert Outcome.of(found.value).finalists[1].is_faster is True
    measured["speedup_interval"] = [1.0, 1.2]
    assert Outcome.of(found.value).finalists[1].is_faster is False
    measured["speedup_interval"] = None
    assert Outcome.of(found.value).finalists[1].is_faster is None


def test_the_measured_interval_is_that_of_the_speedup(found):
    one = Outcome.of(found.value).finalists[2]
    low, high = one.measured_then_interval_us
    assert low < one.measured_then_us < high
    assert high / one.measured_then_us == pytest.approx(one.speedup.value / one.speedup.low)


def test_nulls_are_absent(found):
    value = found.value
    for name in ("history", "layers", "mlperf", "n_test", "reference_point", "objectives", "constraints"):
        value[name] = None
    value["baseline"] |= {"fp32": None, "int8_layers": None, "files": None}
    outcome = Outcome.of(value)
    assert (outcome.history, outcome.layers, outcome.constraints) == ((), (), {})
    assert outcome.baseline_fp32_us is None


def test_a_ratio_without_an_interval():
    assert Ratio.of({"speedup": 2.0}, "speedup") == Ratio(2.0)
    assert Ratio.of({"speedup": None}, "speedup") is None
    assert Ratio(2.0).excludes_one is None
    assert Ratio(2.0, 1.9, 2.1).excludes_one is True


def test_the_best_is_one_that_is_faster_beyond_the_noise(found):
    value = found.value
    for i, one in enumerate(value["finalists"]):
        one["is_feasible"] = i < 2
    unsure, sure = (one["measured"] for one in value["finalists"][:2])
    unsure |= {"speedup": 1.05, "speedup_interval": [0.98, 1.12], "is_faster": False}
    sure |= {"speedup": 1.04, "speedup_interval": [1.02, 1.06], "is_faster": True}
    assert Outcome.of(value).best.name == "finalist 2"


def test_finalists_of_several_rounds_have_their_own_speed_of_the_machine(found):
    value = found.value
    measured = value["finalists"][0]["measured"]
    measured["latency_then_us"] = 1.3 * measured["latency_us"]
    one, other = Outcome.of(value).finalists[:2]
    assert one.measured_then_us == pytest.approx(1.3 * one.latency_us)
    assert other.measured_then_us == pytest.approx(value["machine_speed"] * other.latency_us)


def test_the_change_of_accuracy_has_its_own_error(found):
    value = found.value
    base, measured = value["baseline"], value["finalists"][0]["measured"]
    measured |= {"top1_int8": base["top1_int8"] - 0.01, "top1_int8_change_se": 0.004}
    one = Outcome.of(value).finalists[0]
    assert (one.top1_change, one.top1_change_se) == (pytest.approx(-0.01), 0.004)
    assert change_text(one) == "-1.00 ± 0.40"
