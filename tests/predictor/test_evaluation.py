from __future__ import annotations

import numpy as np
import pytest

from predictor.base import KernelPredictor
from predictor.compiled import CompiledPredictor
from predictor.evaluation import evaluate, speed_of


def test_predictions_stand_beside_the_measurements_of_the_test_part(trained, data, known):
    if not isinstance(trained.predictor, KernelPredictor):
        pytest.skip("predicts no kernels")
    found = evaluate(trained.name, trained.predictor, data)
    networks = [e.network for e in data.test]
    kernels = [k for network in networks for k in network.kernels]
    assert found.measured == pytest.approx(
        [known.latency_us(e.record.architecture) for e in data.test], rel=1e-6
    )
    np.testing.assert_array_equal(found.predicted, trained.predictor.predict(networks))
    assert found.kernel_measured == pytest.approx([known.kernel_us(k) for k in kernels], rel=1e-5)
    np.testing.assert_array_equal(
        found.kernel_predicted, trained.predictor.kernel_latency_us(kernels, data.conditions)
    )
    assert found.kernel_kinds == tuple(k.kind for k in kernels)


def test_metrics_of_both_levels(trained, data):
    if not isinstance(trained.predictor, KernelPredictor):
        pytest.skip("predicts no kernels")
    found = evaluate(trained.name, trained.predictor, data)
    value = found.to_json()
    assert value["network"]["mape"] == pytest.approx(np.mean(np.abs(found.predicted / found.measured - 1)))
    error = found.kernel_predicted / found.kernel_measured - 1
    assert value["kernel"]["bias"] == pytest.approx(np.mean(error))
    assert value["architectures_per_s"] > 0


def test_speed_is_architectures_by_the_best_of_three(trained, known, data, monkeypatch):
    """On a clock on which the three runs take 4, 2 and 8 seconds."""
    ticks = iter([0, 4, 10, 12, 20, 28])
    monkeypatch.setattr("predictor.evaluation.time.perf_counter", lambda: next(ticks))
    monkeypatch.setattr("predictor.evaluation.SPEED_SAMPLE", 1000)
    assert speed_of(CompiledPredictor(known.plan, trained.predictor, data.conditions)) == 500
