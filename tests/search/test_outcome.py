from __future__ import annotations

import pytest

from search.outcome import Outcome, Ratio
from search.table import change_text
from supernet import OvnasError


def test_prediction_error_is_at_the_speed_of_profiling(found):
    one = found.value["finalists"][0]
    one["predicted"]["latency_us"], one["measured"]["latency_then_us"] = 275.0, 250.0
    assert Outcome.of(found.value).finalists[0].error == pytest.approx(0.1)


def test_what_stands_beside_a_measurement_is_at_its_speed(found):
    one = found.value["finalists"][0]
    one["predicted"] |= {"latency_us": 220.0, "interval_us": [200.0, 240.0]}
    one["measured"] |= {"latency_us": 100.0, "latency_then_us": 200.0}
    now = Outcome.of(found.value).finalists[0]
    assert (now.predicted_now_us, now.interval_now_us) == (110.0, (100.0, 120.0))
    assert now.error == pytest.approx(now.predicted_now_us / now.latency_us - 1)


@pytest.mark.parametrize(("speed", "is_said"), [(0.97, False), (1.049, False), (0.94, True), (1.113, True)])
def test_a_machine_that_has_changed_since_profiling_is_said(found, speed, is_said):
    found.value["machine_speed"] = speed
    text = Outcome.of(found.value).speed_text
    assert f"{speed:.3f} of that when it was profiled" in text
    assert ("profile again" in text) == is_said


def test_who_says_how_fast_the_machine_is(found):
    assert "by the anchor" in Outcome.of(found.value).speed_text
    found.value.update(
        machine_speed=1.02,
        anchor_speed=1.1,
        witnesses=[
            {"architecture": "w8", "latency_then_us": then, "latency_us": 100.0} for then in (101.0, 102.0)
        ],
    )
    text = Outcome.of(found.value).speed_text
    assert "1.020 of that when it was profiled" in text
    assert "median of the anchor (1.100) and 2 networks that were profiled (1.010 to 1.020)" in text
    assert "profile again" not in text


def test_where_the_search_measured_nothing_was_profiled(found):
    found.value.update(predictor="measure", machine_speed=1.2)
    text = Outcome.of(found.value).speed_text
    assert "1.200 of that when the search measured them" in text
    assert "profile" not in text


def test_another_schema_is_refused(found):
    found.value["schema_version"] = 99
    with pytest.raises(OvnasError, match="has schema 99, but this version reads"):
        Outcome.of(found.value)


def test_an_open_interval_is_none(found):
    found.value["finalists"][0] |= {"is_inside_interval": None}
    found.value["finalists"][0]["predicted"]["interval_us"] = [270.0, None]
    one = Outcome.of(found.value).finalists[0]
    assert (one.interval_us, one.is_inside) == (None, None)


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
    found.value["finalists"][-1]["measured"]["speedup"] = 99.0
    assert Outcome.of(found.value).best.name == "finalist 4"


def test_the_measured_interval_is_that_of_the_speedup(found):
    one = Outcome.of(found.value).finalists[2]
    low, high = one.measured_then_interval_us
    assert low < one.measured_then_us < high
    assert high / one.measured_then_us == pytest.approx(one.speedup.value / one.speedup.low)


def test_a_ratio_without_an_interval_excludes_nothing():
    assert not Ratio(2.0).excludes_one
    assert Ratio(2.0, 1.9, 2.1).excludes_one
    assert not Ratio(2.0, 0.9, 2.1).excludes_one


def test_the_best_is_one_that_is_faster_beyond_the_noise(found):
    value = found.value
    for i, one in enumerate(value["finalists"]):
        one["is_feasible"] = i < 2
    unsure, sure = (one["measured"] for one in value["finalists"][:2])
    unsure |= {"speedup": 1.05, "speedup_interval": [0.98, 1.12], "is_faster": False}
    sure |= {"speedup": 1.04, "speedup_interval": [1.02, 1.06], "is_faster": True}
    assert Outcome.of(value).best.name == "finalist 2"


def test_the_change_of_accuracy_has_its_own_error(found):
    value = found.value
    value["finalists"][0]["measured"] |= {"top1_int8_change": -0.01, "top1_int8_change_se": 0.004}
    one = Outcome.of(value).finalists[0]
    assert (one.top1_change, one.top1_change_se) == (pytest.approx(-0.01), 0.004)
    assert change_text(one) == "-1.00 ± 0.40"
