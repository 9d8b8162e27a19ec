"""scikit-learn's own checks, pipelines and clones."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from predictor.boosting import BoostedTrees
from predictor.forest import PlainForest
from predictor.lookup import MeanOrNearest
from predictor.network import Network
from predictor.registry import PREDICTORS, make_predictor

_RANDOM_ROWS = "rows are drawn at random, so a row twice is not a row of weight two"
EXCEPTIONS = {
    BoostedTrees: {
        "check_sample_weight_equivalence_on_dense_data": _RANDOM_ROWS,
    },
    PlainForest: {
        "check_sample_weight_equivalence_on_dense_data": _RANDOM_ROWS,
    },
}
# On numbers: kernels as rows of features. On networks: scikit-learn runs only the checks that need no
# matrix, because their tag says that their input is none.
ESTIMATORS = [
    BoostedTrees(n_estimators=20, bags=1, learning_rate=0.3, subsample=0.9, colsample_bytree=1.0),
    PlainForest(n_estimators=10),
    MeanOrNearest(),
    *(make_predictor(name) for name in PREDICTORS),
]


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda e: EXCEPTIONS.get(type(e), {}))
def test_the_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", ["macs", "xgb"])
def test_a_pipeline_from_architectures(name, data, known, unseen):
    pipeline = Pipeline(
        [
            (
                "plan",
                FunctionTransformer(lambda a: [Network.planned(known.plan, x, data.conditions) for x in a]),
            ),
            ("latency", make_predictor(name)),
        ]
    )
    times = [np.array([k.time_us for k in e.record.kernels]) for e in data.train]
    architectures = [e.record.architecture for e in data.train]
    pipeline.fit(architectures, data.latencies(data.train), latency__kernel_us=times)
    truth = np.array([known.latency_us(a) for a in unseen])
    assert np.abs(pipeline.predict(unseen) / truth - 1).mean() < 0.05
    assert pipeline.score(unseen, truth) > 0.9
