from __future__ import annotations

import numpy as np
import pytest

from search.constraints import Constraints, Limit


def test_limits_beside_a_baseline():
    given = Constraints(5e3, 2.5, 1.0, 1e6, 2e6)
    limits = {
        limit.option: (limit.objective, limit.bound, limit.is_upper) for limit in given.limits(1e4, 0.9)
    }
    assert limits["max_latency"] == ("latency", 5e3, True)
    assert limits["min_speedup"] == ("latency", 4e3, True)
    assert limits["max_accuracy_drop"] == ("accuracy", pytest.approx(0.89), False)
    assert limits["max_macs"] == ("macs", 1e6, True)
    assert limits["max_size"] == ("model_size", 2e6, True)
    assert [limit.option for limit in Constraints(max_accuracy_drop=1.0).limits(1e4, None)] == []
    assert Constraints().limits(1e4, 0.9) == ()


def test_excess_is_relative_and_zero_inside():
    upper, lower = Limit("a", "latency", 100.0, is_upper=True), Limit("b", "accuracy", 0.5, is_upper=False)
    np.testing.assert_allclose(
        upper.excess(np.array([90.0, 100.0, 100.00001, 110.0])), [0, 0, 0, 0.1], atol=1e-6
    )
    np.testing.assert_allclose(lower.excess(np.array([0.6, 0.5, 0.4])), [0, 0, 0.2], atol=1e-6)


BASE = {"latency_us": 1e4, "top1": 0.9, "macs": 5e6, "model_bytes": 5e6}


@pytest.mark.parametrize(
    ("constraints", "found", "text"),
    [
        (Constraints(max_latency_us=8e3), {"latency_us": 8.3e3}, "max_latency: 8.3 ms > 8 ms"),
        (Constraints(min_speedup=2.5), {"latency_us": 5e3}, "min_speedup: 2x < 2.5x"),
        (Constraints(max_accuracy_drop=1.0), {"top1": 0.88}, "max_accuracy_drop: 2.00 points > 1 points"),
        (Constraints(max_macs=1e6), {"macs": 2e6}, "max_macs: 2 million > 1 million"),
        (Constraints(max_size_bytes=1e6), {"model_bytes": 2e6}, "max_size: 2 MB > 1 MB"),
    ],
)
def test_violations_are_said_in_the_users_words(constraints, found, text):
    own = {"latency_us": 1e3, "top1": 0.9, "macs": 1e5, "model_bytes": 1e5}
    assert constraints.violations(own, BASE) == []
    assert constraints.violations(own | found, BASE) == [text]


def test_what_is_no_violation_has_no_excess():
    """Rounding is forgiven by both, or by neither."""
    given = Constraints(max_latency_us=8e3, max_accuracy_drop=1.0)
    own = {"latency_us": 8e3 * (1 + 1e-7), "top1": 0.89 - 1e-9, "macs": 1e5, "model_bytes": 1e5}
    assert (given.violations(own, BASE), given.excess(own, BASE)) == ([], 0.0)
    own["latency_us"] = 8.8e3
    assert given.violations(own, BASE) == ["max_latency: 8.8 ms > 8 ms"]
    assert given.excess(own, BASE) == pytest.approx(0.1, rel=1e-4)


def test_without_data_no_accuracy_is_broken():
    own = {"latency_us": 1e3, "top1": None, "macs": 1e5, "model_bytes": 1e5}
    assert Constraints(max_accuracy_drop=0.0).violations(own, BASE | {"top1": None}) == []


def test_options_as_the_user_writes_them():
    text = Constraints(8e3, 2.5, 1.0, 4e7, 2e6).options
    assert text == "--max-latency 8ms --min-speedup 2.5 --max-accuracy-drop 1 --max-macs 40M --max-size 2MB"
