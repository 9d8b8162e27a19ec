from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from predictor.macs import MacsPredictor


def test_the_law_is_recovered(data, known):
    """1e-4 us a MAC; the kernels without any are alive in every network and so are overhead."""
    predictor = data.fit(MacsPredictor(), data.train)
    assert predictor.us_per_mac_ == pytest.approx(1e-4, rel=1e-4)
    n_without = sum(k.macs == 0 for k in known.plan.of(known.plan.space.smallest))
    assert predictor.overhead_us_ == pytest.approx(known.overhead_us + n_without, rel=1e-3)


def test_errors_are_relative(data):
    """The slowest network measured twice too slow does not bend the fit as an absolute error would."""
    slowest = max(range(len(data.train)), key=lambda i: data.train[i].record.latency_us)
    records = [
        dataclasses.replace(e.record, latency_us=e.record.latency_us * (2 if i == slowest else 1))
        for i, e in enumerate(data.train)
    ]
    examples = [dataclasses.replace(e, record=r) for e, r in zip(data.train, records, strict=True)]
    latency = np.array([r.latency_us for r in records])
    macs = np.array([sum(k.kernel.macs for k in r.kernels) for r in records], dtype=float)
    found = data.fit(MacsPredictor(), examples)

    def loss(overhead: float, slope: float) -> float:
        return float(np.sum(((overhead + slope * macs) / latency - 1) ** 2))

    best = loss(found.overhead_us_, found.us_per_mac_)
    for step in (0.99, 1.01):
        assert loss(found.overhead_us_ * step, found.us_per_mac_) > best
        assert loss(found.overhead_us_, found.us_per_mac_ * step) > best
