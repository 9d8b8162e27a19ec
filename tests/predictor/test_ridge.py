from __future__ import annotations

import itertools

import numpy as np
import pytest

from predictor.network import Network
from predictor.ridge import RidgePredictor
from supernet import OvnasError


def test_an_additive_law_is_recovered(data, known):
    """A latency that is a sum of a cost for each choice."""
    space = known.plan.space
    rng = np.random.default_rng(0)
    cost = [rng.uniform(1, 5, len(slot.choices)) for slot in space.slots]
    networks = [Network.planned(known.plan, a, data.conditions) for a in known.architectures(300, seed=5)]
    latency = np.array([10 + sum(c[i] for c, i in zip(cost, n.codes, strict=True)) for n in networks])
    predictor = RidgePredictor().fit(networks[:200], latency[:200])
    np.testing.assert_allclose(predictor.predict(networks[200:]), latency[200:], rtol=1e-3)


def test_tables_are_the_predictions_over_the_whole_space(data, known):
    predictor = data.fit(RidgePredictor(), data.train)
    plan, space = known.plan, known.plan.space
    tables = predictor.tables(plan, data.conditions)
    for codes in itertools.islice(
        itertools.product(*(range(len(s.choices)) for s in space.slots)), 0, None, 97
    ):
        network = Network.planned(plan, space.decode(codes), data.conditions)
        column = np.array(codes)[:, None]
        total = tables.base_us + sum(
            table[tuple(int(axis.index(column)[0]) for axis in axes)] for axes, table in tables.parts
        )
        assert total == pytest.approx(predictor.predict([network])[0], rel=1e-9)


def test_networks_of_no_space_or_another_one_are_refused(data):
    predictor = data.fit(RidgePredictor(), data.train)
    with pytest.raises(OvnasError, match="a network without codes"):
        predictor.predict([Network((), data.conditions)])
    with pytest.raises(OvnasError, match="but got another"):
        predictor.predict([Network((), data.conditions, "another", (0, 1))])
    with pytest.raises(OvnasError, match="a network without codes"):
        predictor.fit([Network((), data.conditions)], np.ones(1))
