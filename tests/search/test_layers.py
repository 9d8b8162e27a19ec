from __future__ import annotations

import numpy as np
import pytest

from predictor.lookup import LookupPredictor
from predictor.network import Conditions, Network
from predictor.ridge import RidgePredictor
from predictor.saved import SavedPredictor
from search.layer_pictures import savings
from search.layers import layers_of, layers_of_plan
from search.outcome import LayerTime


def saved(known, kind) -> SavedPredictor:
    """A predictor trained on the known law."""
    conditions = Conditions(1, 1, 2**15, 2**20, 2**25)
    networks = [Network.planned(known.plan, a, conditions) for a in known.architectures(20)]
    times = [np.array([known.kernel_us(k) for k in n.kernels]) for n in networks]
    latency = np.array([known.latency_us(a) for a in known.architectures(20)])
    return SavedPredictor("p", {"tiny": known.plan}, kind.fit(networks, latency, times), {}, conditions)


def test_layers_sum_to_the_prediction(known):
    predictor, chosen = saved(known, LookupPredictor()), known.architectures(6)[2:]
    value = layers_of(predictor, "tiny", chosen)
    sums = [
        value["overhead_us"] + sum(kernel["latency_us"] for kernel in network)
        for network in (value["baseline"], *value["finalists"])
    ]
    expected = predictor.predict([known.plan.space.largest, *chosen], "tiny")
    np.testing.assert_allclose(sums, expected, rtol=1e-9)
    for network, architecture in zip(value["finalists"], chosen, strict=True):
        assert [kernel["macs"] for kernel in network] == [k.macs for k in known.plan.of(architecture)]


def test_a_predictor_of_whole_networks_leaves_the_times_open(known):
    value = layers_of(saved(known, RidgePredictor()), "tiny", [known.plan.space.smallest])
    assert {kernel["latency_us"] for kernel in value["baseline"]} == {None}
    assert value["overhead_us"] is None
    assert value == layers_of_plan(known.plan, [known.plan.space.smallest])


def test_dropped_kernels_keep_their_place(tiny_plan):
    value = layers_of_plan(tiny_plan, [tiny_plan.space.smallest])
    assert [kernel["index"] for kernel in value["baseline"]] == list(range(len(tiny_plan.kernels)))
    baseline, smallest = (
        [LayerTime(**kernel) for kernel in network] for network in (value["baseline"], value["finalists"][0])
    )
    assert len(smallest) < len(baseline)
    rows = savings(baseline, smallest)
    assert [row.before for row in rows] == baseline
    assert [row.after for row in rows if row.after is not None] == smallest
    assert all(row.after is None or row.after.layer == row.before.layer for row in rows)
    assert sum(row.after is None for row in rows) == len(baseline) - len(smallest)


@pytest.mark.parametrize("after", [None, LayerTime(0, "a", "conv 3x3", 4.0, 100, 3, 8)])
def test_a_saving(after):
    (row,) = savings([LayerTime(0, "a", "conv 3x3", 10.0, 400, 3, 16)], [after] if after else [])
    assert row.us == pytest.approx(6.0 if after else 10.0)
    assert "3 → 16 channels" in row.text
    assert ("dropped" in row.text) is (after is None)
