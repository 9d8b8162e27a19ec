from __future__ import annotations

import numpy as np
import pytest

from predictor.base import KernelPredictor
from predictor.compiled import CompiledPredictor
from predictor.evaluation import around, evaluate, fit_and_evaluate, speed_of
from predictor.registry import make_predictor


@pytest.fixture
def evaluation(trained, data):
    return evaluate(trained.name, trained.predictor, data, around({"tiny": np.full(30, 0.1)}))


def test_predictions_stand_beside_the_measurements_of_the_test_part(evaluation, trained, data, known):
    networks = [e.network for e in data.test]
    kernels = [k for network in networks for k in network.kernels]
    assert evaluation.measured == pytest.approx(
        [known.latency_us(e.record.architecture) for e in data.test], rel=1e-6
    )
    np.testing.assert_array_equal(evaluation.predicted, trained.predictor.predict(networks))
    assert evaluation.kernel_measured == pytest.approx([known.kernel_us(k) for k in kernels], rel=1e-4)
    assert evaluation.kernel_kinds == tuple(k.kind for k in kernels)
    assert evaluation.kernel_layers[:2] == ("layer0", "layer1")
    assert np.bincount(evaluation.kernel_networks).tolist() == [len(n.kernels) for n in networks]


def test_kernels_and_the_fixed_cost_sum_to_the_network(evaluation, trained):
    assert evaluation.knows_kernels == isinstance(trained.predictor, KernelPredictor)
    if evaluation.knows_kernels:
        sums = np.bincount(evaluation.kernel_networks, evaluation.kernel_predicted) + evaluation.overhead
        assert sums == pytest.approx(evaluation.predicted)


def test_what_the_interval_holds(evaluation):
    low, high = evaluation.predicted * np.exp(-0.1), evaluation.predicted * np.exp(0.1)
    assert evaluation.low == pytest.approx(low)
    assert evaluation.width == pytest.approx(np.full(len(low), np.exp(0.1) - np.exp(-0.1)))
    expected = [a <= m <= b for a, m, b in zip(low, evaluation.measured, high, strict=True)]
    assert evaluation.covered.tolist() == expected


def test_a_baseline_gets_an_interval_of_its_own(data):
    found = fit_and_evaluate("macs", data)
    assert np.abs(found.error).max() < 1e-5
    assert (found.width < 1e-4).all()


def test_an_interval_of_each_study():
    interval = around({"a": np.full(30, 0.1), "b": np.full(30, 0.2)})
    low, high = interval(np.array([1.0, 1, 1]), ["b", "a", "unseen"])
    np.testing.assert_allclose(np.log(high), [0.2, 0.1, 0.2])
    np.testing.assert_allclose(low * high, 1)


def test_a_predictor_that_is_given_is_trained(data):
    predictor = make_predictor("lookup")
    found = fit_and_evaluate("own", data, predictor=predictor)
    assert found.name == "own"
    assert set(found.studies) == {"tiny"}
    np.testing.assert_array_equal(found.predicted, predictor.predict([e.network for e in data.test]))


def test_speed_is_architectures_by_the_best_of_three(trained, known, data, monkeypatch):
    """On a clock on which the three runs take 4, 2 and 8 seconds."""
    ticks = iter([0, 4, 10, 12, 20, 28])
    monkeypatch.setattr("predictor.evaluation.time.perf_counter", lambda: next(ticks))
    monkeypatch.setattr("predictor.evaluation.SPEED_SAMPLE", 1000)
    assert speed_of(CompiledPredictor(known.plan, trained.predictor, data.conditions)) == 500
