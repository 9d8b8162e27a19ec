from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from predictor.adapted import AdaptedPredictor
from predictor.network import Conditions
from predictor.xgb import XgbPredictor
from supernet import OvnasError


@pytest.fixture
def elsewhere(data, known):
    """Twelve networks under other conditions: 0.6 of the time, and 1.3 of it for wide kernels; noisy."""
    rng = np.random.default_rng(1)

    def kernel_us(kernel):
        return (
            known.kernel_us(kernel)
            * (0.6 if kernel.kernel_height == 1 else 0.8)
            * (1 + 1 / (3 + kernel.in_channels))
        )

    def measured(examples, noise):
        networks = data.measured_networks(examples)
        times = [
            np.array([kernel_us(k) for k in n.kernels]) * np.exp(noise * rng.normal(size=len(n.kernels)))
            for n in networks
        ]
        return networks, np.array([9 + t.sum() for t in times]), times

    return measured(data.train[:12], 0.05), measured(data.test, 0.0)


def test_it_beats_a_start_from_scratch(data, elsewhere):
    learned, (networks, latency, _) = elsewhere
    base = data.fit(XgbPredictor(), data.train)
    errors = [
        np.abs(predictor.fit(*learned).predict(networks) / latency - 1).mean()
        for predictor in (AdaptedPredictor(base, data.conditions), XgbPredictor())
    ]
    assert errors[0] < 0.02
    assert errors[0] < errors[1]


def test_the_base_is_kept_as_it_is(data, elsewhere, other_conditions):
    networks = [e.network for e in data.test]
    before = other_conditions.predict(networks)
    adapted = AdaptedPredictor(other_conditions).fit(*elsewhere[0])
    np.testing.assert_array_equal(other_conditions.predict(networks), before)
    assert clone(adapted).base is other_conditions
    assert not hasattr(clone(adapted), "trees_")


def test_the_base_is_asked_under_its_own_conditions(data, elsewhere, other_conditions, monkeypatch):
    asked = []
    real = XgbPredictor.kernel_latency_us
    monkeypatch.setattr(XgbPredictor, "kernel_latency_us", lambda s, k, c: asked.append(c) or real(s, k, c))
    own = Conditions(1, 1, 2**14, 2**19, 2**24)
    AdaptedPredictor(other_conditions, own).fit(*elsewhere[0]).predict([data.test[0].network])
    assert set(asked) == {own}


def test_there_must_be_a_base(elsewhere):
    with pytest.raises(OvnasError, match="nothing to adapt; name a trained predictor with --from"):
        AdaptedPredictor().fit(*elsewhere[0])
