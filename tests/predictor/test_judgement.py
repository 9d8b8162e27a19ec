from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest

from predictor.evaluation import Evaluation
from predictor.judgement import deciles, judge
from predictor.metrics import HEADLINE, accuracy_of

N = 60


def evaluation_of(name: str, error, width: float = 0.05) -> Evaluation:
    """Sixty networks of 100 to 700 us and two kernels each, predicted with this relative error."""
    measured = np.linspace(100, 700, N)
    predicted = measured * (1 + error)
    halves = np.repeat(measured / 2, 2)
    return Evaluation(
        name=name,
        measured=measured,
        predicted=predicted,
        low=predicted / (1 + width),
        high=predicted * (1 + width),
        kernel_measured=halves,
        kernel_predicted=halves * np.repeat(1 + error, 2),
        kernel_layers=("a", "b") * N,
        kernel_kinds=("Convolution", "Pooling") * N,
        kernel_networks=np.repeat(np.arange(N), 2),
        overhead=0.0,
        architectures_per_s=1e6,
    )


@pytest.fixture(scope="module")
def judged():
    rng = np.random.default_rng(0)
    good, bad = rng.normal(0, 0.004, N), rng.normal(0, 0.08, N)
    evaluations = [evaluation_of("xgb", good), evaluation_of("macs", bad), evaluation_of("forest", good)]
    return judge(evaluations, np.linspace(0, 1, N))


def test_values_lie_in_their_intervals(judged):
    for one in judged:
        own = one.evaluation
        assert accuracy_of(own.measured, own.predicted).items() <= one.values.items()
        for name in (*HEADLINE, "coverage"):
            assert one.spread[name].low - 1e-9 <= one.values[name] <= one.spread[name].high + 1e-9
    assert judged[0].values["coverage"] == 1
    assert judged[0].values["width"] == pytest.approx(1.05 - 1 / 1.05)
    assert judged[1].values["coverage"] == judged[1].evaluation.covered.mean() < 0.8


def test_better_only_beyond_the_interval_of_the_difference(judged):
    best, *baselines = judged
    assert best.beats("macs")
    assert not best.beats("forest")
    assert best.against["forest"]["mape"].verdict == "not told apart"
    assert all(b.against == {} for b in baselines)


def test_json_has_no_figures_that_are_none(judged):
    value = json.loads(json.dumps(judged[0].to_json(), allow_nan=False))
    assert set(value["network_interval"]) == set(HEADLINE)
    assert value["regret"]["mean"] == pytest.approx(0, abs=0.02)
    assert [d["networks"] for d in value["interval"]["deciles"]] == [6] * 10


def test_an_infinite_interval_and_unknown_kernels_are_none():
    own = evaluation_of("ridge", np.zeros(N))
    endless = dataclasses.replace(
        own, low=np.zeros(N), high=np.full(N, np.inf), kernel_predicted=np.full(2 * N, np.nan)
    )
    (found,) = judge([endless])
    value = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (value["interval"]["width"], value["interval"]["coverage"]) == (None, 1)
    assert (value["kernel"], value["regret"]) == (None, None)


def test_coverage_by_tenths_of_latency():
    """The slowest tenth is predicted 10 % too fast, which the interval of 5 % does not hold."""
    found = deciles(evaluation_of("xgb", np.where(np.arange(N) < 54, 0, -0.1)))
    assert [d.coverage for d in found] == [1] * 9 + [0]
    assert found[0].low_us == 100
    assert found[-1].high_us == 700
    assert all(a.high_us < b.low_us for a, b in itertools.pairwise(found))


def test_few_networks_make_fewer_groups():
    own = evaluation_of("xgb", np.zeros(N))
    few = dataclasses.replace(
        own, measured=own.measured[:11], predicted=own.predicted[:11], low=own.low[:11], high=own.high[:11]
    )
    assert [d.networks for d in deciles(few)] == [6, 5]


def test_quality_that_is_known_of_some_only():
    quality = np.full(N, np.nan)
    quality[[3, 30, 50]] = [1, 2, 3]
    (found,) = judge([evaluation_of("xgb", np.zeros(N))], quality)
    assert found.regret is not None
    assert found.regret.to_json()["decisions"] == 3
    assert found.regret.max == 0


def test_regret_is_compared_in_pairs(judged):
    best, macs, _ = judged
    found = best.against["macs"]["regret"]
    assert found.value == pytest.approx(best.regret.mean - macs.regret.mean)
    assert best.spread["regret"] == best.regret.spread
    difference = best.regret.regret - macs.regret.regret
    assert difference.min() <= found.low <= found.value <= found.high <= difference.max()


def test_coverage_of_each_study():
    """The second study's interval does not hold an error of 10 %."""
    own = evaluation_of("xgb", np.where(np.arange(N) < 40, 0, -0.1))
    assert judge([own])[0].to_json()["interval"]["studies"] == {}
    both = dataclasses.replace(own, studies=("a",) * 40 + ("b",) * 20)
    found = judge([both])[0].to_json()["interval"]["studies"]
    width = pytest.approx(1.05 - 1 / 1.05)
    assert found == {
        "a": {"networks": 40, "coverage": 1, "width": width},
        "b": {"networks": 20, "coverage": 0, "width": width},
    }
