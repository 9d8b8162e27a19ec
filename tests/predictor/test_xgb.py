from __future__ import annotations

import dataclasses

import pytest

from predictor.features import FEATURES
from predictor.xgb import XgbPredictor
from supernet import OvnasError


def test_a_few_networks_are_needed(data):
    with pytest.raises(OvnasError, match="at least 5 measured networks, but got 4"):
        XgbPredictor().fit(data.train[:4])


def test_the_sum_is_fitted_to_the_clean_latency(data, known):
    """A cost that no kernel shows becomes overhead, a share that the counters miss becomes scale."""
    records = [dataclasses.replace(r, latency_us=100 + 1.2 * r.latency_us) for r in data.train]
    predictor = XgbPredictor().fit(records)
    assert predictor.overhead_us_ == pytest.approx(100 + 1.2 * known.overhead_us, rel=0.05)
    assert predictor.scale_ == pytest.approx(1.2, rel=0.05)


def test_importance_is_a_share_of_the_features(data):
    importance = XgbPredictor(n_estimators=30).fit(data.train).importance()
    assert set(importance) <= set(FEATURES)
    assert sum(importance.values()) == pytest.approx(1)
    assert list(importance.values()) == sorted(importance.values(), reverse=True)


def test_the_seed_matters(data, known):
    first, second = (XgbPredictor(n_estimators=30, seed=seed).fit(data.train) for seed in (0, 1))
    kernels = known.plan.of(known.plan.space.largest)
    assert first.kernel_latency_us(kernels).tolist() != second.kernel_latency_us(kernels).tolist()
