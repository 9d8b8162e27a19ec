from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from predictor.conformal import LEVEL
from predictor.evaluation import around
from predictor.macs import MacsPredictor
from predictor.registry import make_predictor
from predictor.saved import load, save
from predictor.unlike import FEWEST_PLACES, out_of_place, place_of
from profiling.kernel import Kernel

CONVOLUTION = Kernel("Convolution", 1, 16, 6, 6, 16, 6, 6, 3, 3, 16, 1, 1, "u8", "u8")


def test_kernels_that_differ_in_channels_alone_share_a_place():
    wider = replace(CONVOLUTION, out_channels=64, in_channels=32, in_per_group=32)
    assert place_of(wider) == place_of(CONVOLUTION)
    others = [
        replace(CONVOLUTION, kind="Pooling"),
        replace(CONVOLUTION, in_per_group=1),
        replace(CONVOLUTION, kernel_height=1, kernel_width=1),
        replace(CONVOLUTION, in_height=12, in_width=12),
        replace(CONVOLUTION, out_height=3, out_width=3),
    ]
    assert len({place_of(k) for k in [CONVOLUTION, *others]}) == 1 + len(others)


class Spy(MacsPredictor):
    """Costs as much as it is told, and notes what it learns from and is asked for."""

    log: list[tuple[set, set]] = []  # noqa: RUF012

    def fit(self, networks, latency_us, kernel_us=None):
        self.learned = {place_of(k) for n in networks for k in n.kernels}
        sums = np.array([t.sum() for t in kernel_us])
        # What is left of a network is its kernels that are left, and the same fixed cost.
        self.fixed = latency_us - sums
        return super().fit(networks, latency_us, kernel_us)

    def predict(self, networks):
        type(self).log.append((self.learned, {place_of(k) for n in networks for k in n.kernels}))
        return super().predict(networks)


def test_no_kernel_is_predicted_by_what_learned_from_its_place(data, monkeypatch):
    Spy.log = []
    residuals = out_of_place(Spy(), data.train)
    assert residuals.shape == (len(data.train),)
    assert len(Spy.log) == 5
    assert all(learned and asked and not learned & asked for learned, asked in Spy.log)
    asked = [place for _, own in Spy.log for place in own]
    assert len(asked) == len(set(asked))
    assert set(asked) == {place_of(k.kernel) for e in data.train for k in e.record.kernels}


def test_what_is_left_of_a_network_keeps_its_fixed_cost(data, monkeypatch):
    fixed = []
    original = Spy.fit
    monkeypatch.setattr(Spy, "fit", lambda s, *a: [original(s, *a), fixed.append(s.fixed)][0])
    out_of_place(Spy(), data.train)
    expected = [e.record.latency_us - sum(k.time_us for k in e.record.kernels) for e in data.train]
    for own in fixed:
        assert own == pytest.approx(expected[: len(own)], abs=1e-6)


def test_kernels_held_out_are_harder_than_networks_held_out(data):
    """By a table, which knows every kernel of a network held out, but of a place held out only others."""
    residuals = out_of_place(make_predictor("lookup"), data.train)
    assert np.quantile(np.abs(residuals), LEVEL) > 0.01
    np.testing.assert_array_equal(out_of_place(make_predictor("lookup"), data.train), residuals)


def test_with_too_few_places_there_are_none(data):
    places = list(dict.fromkeys(place_of(k.kernel) for k in data.train[0].record.kernels))[
        : FEWEST_PLACES - 1
    ]
    few = [
        replace(
            e,
            record=replace(
                e.record, kernels=tuple(k for k in e.record.kernels if place_of(k.kernel) in places)
            ),
        )
        for e in data.train
    ]
    assert out_of_place(make_predictor("lookup"), few).shape == (0,)
    assert out_of_place(make_predictor("lookup"), data.train[:4]).shape == (0,)


def test_only_an_unseen_study_gets_their_interval(data, tmp_path):
    own, unlike = {"tiny": np.full(30, 0.1)}, {"tiny": np.full(30, 0.3)}
    _, high = around(own, unlike)(np.array([1.0, 1.0]), ["tiny", "unseen"])
    np.testing.assert_allclose(np.log(high), [0.1, 0.3])
    predictor = data.fit(MacsPredictor(), data.train)
    save("macs", predictor, data.plans, data.train, data.meta, tmp_path / "macs",
         residuals=own, unlike_residuals=unlike)  # fmt: skip
    saved = load(tmp_path / "macs")
    for study, width in (("tiny", 0.1), (None, 0.3)):
        low, high = saved.interval(np.array([1.0]), study=study)
        np.testing.assert_allclose([-np.log(low[0]), np.log(high[0])], width)
