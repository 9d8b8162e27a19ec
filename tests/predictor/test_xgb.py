from __future__ import annotations

import dataclasses

import pytest

from predictor.features import FEATURES
from predictor.xgb import XgbPredictor
from supernet import OvnasError


def test_a_few_networks_are_needed(data):
    with pytest.raises(OvnasError, match="at least 5 measured networks, but got 4"):
        data.fit(XgbPredictor(), data.train[:4])


def test_the_sum_is_fitted_to_the_clean_latency(data, known):
    """A cost that no kernel shows becomes overhead, a share that the counters miss becomes scale."""
    records = [dataclasses.replace(e.record, latency_us=100 + 1.2 * e.record.latency_us) for e in data.train]
    examples = [dataclasses.replace(e, record=r) for e, r in zip(data.train, records, strict=True)]
    predictor = data.fit(XgbPredictor(), examples)
    assert predictor.overhead_us_ == pytest.approx(100 + 1.2 * known.overhead_us, rel=0.05)
    assert predictor.scale_ == pytest.approx(1.2, rel=0.05)


def test_importance_is_a_share_of_the_features(data):
    importance = data.fit(XgbPredictor(n_estimators=30), data.train).importance()
    assert set(importance) <= set(FEATURES)
    assert sum(importance.values()) == pytest.approx(1)
    assert list(importance.values()) == sorted(importance.values(), reverse=True)


def test_the_seed_matters(data, known):
    first, second = (data.fit(XgbPredictor(n_estimators=30, seed=seed), data.train) for seed in (0, 1))
    kernels = known.plan.of(known.plan.space.largest)
    one, other = (p.kernel_latency_us(kernels, data.conditions).tolist() for p in (first, second))
    assert one != other
