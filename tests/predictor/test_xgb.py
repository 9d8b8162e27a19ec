from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from predictor.boosted import balanced
from predictor.features import FEATURES
from predictor.network import Conditions, Network
from predictor.xgb import XgbPredictor
from supernet import OvnasError

CONDITIONS = Conditions(1, 1, 2**15, 2**20, 2**25)


def test_a_few_networks_are_needed(data):
    with pytest.raises(OvnasError, match="at least 5 measured networks, but got 4"):
        data.fit(XgbPredictor(), data.train[:4])


def test_the_sum_is_fitted_to_the_clean_latency(data, known):
    """A cost that no kernel shows becomes overhead, a share that the counters miss becomes scale."""
    records = [dataclasses.replace(e.record, latency_us=100 + 1.2 * e.record.latency_us) for e in data.train]
    examples = [dataclasses.replace(e, record=r) for e, r in zip(data.train, records, strict=True)]
    predictor = data.fit(XgbPredictor(), examples)
    assert predictor.overhead_us_ == pytest.approx(100 + 1.2 * known.overhead_us, rel=1e-3)
    kernels = known.plan.of(known.plan.space.largest)
    truth = 1.2 * sum(map(known.kernel_us, kernels))
    assert predictor.kernel_latency_us(kernels, data.conditions).sum() == pytest.approx(truth, rel=0.02)


def test_the_joint_rounds_mend_biased_kernels(data, known):
    """Kernels' times that are skewed: their logarithms' mean is too small, the sums are right."""
    rng = np.random.default_rng(0)
    networks, latency = data.measured_networks(data.train), data.latencies(data.train)
    times = []
    for network, total in zip(networks, latency, strict=True):
        own = np.array([known.kernel_us(k) for k in network.kernels])
        own *= rng.choice([0.5, 2.0], size=len(own), p=[2 / 3, 1 / 3])
        times.append(own * (total - 5) / own.sum())
    errors = {}
    for n_joint in (0, 150):
        predicted = XgbPredictor(n_joint=n_joint).fit(networks, latency, times).predict(networks)
        errors[n_joint] = np.abs(np.log(predicted / latency)).mean()
    assert errors[150] < 0.5 * errors[0]


def test_families_count_alike():
    networks = [Network((), CONDITIONS, "a")] * 30 + [Network((), CONDITIONS, "b")] * 10
    weight = balanced(networks)
    assert weight[:30].sum() == pytest.approx(weight[30:].sum())
    assert weight.mean() == pytest.approx(1)


def test_importance_is_a_share_of_the_features(data):
    importance = data.fit(XgbPredictor(n_estimators=30, n_joint=10), data.train).importance()
    assert set(importance) <= set(FEATURES)
    assert sum(importance.values()) == pytest.approx(1)
    assert list(importance.values()) == sorted(importance.values(), reverse=True)


def test_the_seed_matters(data, known):
    first, second = (
        data.fit(XgbPredictor(n_estimators=30, n_joint=10, seed=seed), data.train) for seed in (0, 1)
    )
    kernels = known.plan.of(known.plan.space.largest)
    one, other = (p.kernel_latency_us(kernels, data.conditions).tolist() for p in (first, second))
    assert one != other
