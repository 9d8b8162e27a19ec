from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from predictor.forest import ForestPredictor, PlainForest


@pytest.mark.parametrize("leaf", [1, 7])
def test_predictions_are_those_of_scikit_learn(rng, leaf):
    """Also at thresholds, where single precision decides."""
    rows, labels = rng.normal(size=(300, 6)).round(1), rng.normal(size=300)
    plain = PlainForest(25, leaf, seed=4).fit(rows, labels)
    theirs = RandomForestRegressor(25, min_samples_leaf=leaf, max_features=1 / 3, random_state=4)
    theirs.fit(rows, labels)
    asked = np.concatenate(
        [rows, rng.normal(size=(200, 6)), plain.threshold_[plain.left_ >= 0][:120].reshape(-1, 6)]
    )
    np.testing.assert_allclose(plain.predict(asked), theirs.predict(asked), rtol=1e-12)


def test_a_forest_of_each_kind(data, known):
    predictor = data.fit(ForestPredictor(n_estimators=10), data.train)
    kinds = {k.kernel.kind for k in known.plan.kernels}
    assert set(predictor.forests_) == kinds | {"any"}
    kernel = known.plan.kernels[0].kernel
    (unknown,) = predictor.kernel_latency_us([dataclasses.replace(kernel, kind="New")], data.conditions)
    assert unknown > 0
