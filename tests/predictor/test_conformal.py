from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone

from predictor.conformal import FEWEST, by_study, fewest_residuals, half_width, out_of_fold, representative
from predictor.macs import MacsPredictor


def test_the_quantile_is_that_of_a_finite_sample():
    """Nine residuals split the line in ten parts of equal probability."""
    residuals = [0.5, -0.1, 0.2, -0.9, 0.3, 0.4, -0.6, 0.7, -0.8]
    assert [half_width(residuals, level) for level in (0.1, 0.5, 0.85, 0.9)] == [0.1, 0.5, 0.9, 0.9]
    assert half_width(residuals, 0.91) == np.inf
    assert half_width([], 0.5) == np.inf
    for level in (0, 1, -1, 2):
        with pytest.raises(ValueError, match="0 < level < 1"):
            half_width(residuals, level)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_the_fewest_residuals_of_a_finite_interval(level):
    n = fewest_residuals(level)
    assert half_width([0.1] * n, level) == 0.1
    assert half_width([0.1] * (n - 1), level) == np.inf


def test_residuals_of_each_study(data):
    examples = [replace(e, study="odd" if i % 2 else "even") for i, e in enumerate(data.train)]
    found = by_study(np.arange(len(examples), dtype=float), examples)
    assert list(found) == ["even", "odd"]
    for study, rest in (("even", 0), ("odd", 1)):
        assert {int(r) % 2 for r in found[study]} == {rest}
        own = [e for e in examples if e.study == study]
        assert len(found[study]) in (len(own), sum(e.record.chosen_as == "filling" for e in own))


def test_residuals_of_networks_that_a_base_knows_are_left_out_where_others_suffice(data):
    examples = [replace(e, record=replace(e.record, chosen_as="filling")) for e in data.train]
    study = examples[0].study
    texts = [str(e.record.architecture) for e in examples]
    numbers = np.arange(len(examples), dtype=float)
    enough, few = texts[: len(texts) - FEWEST], texts[: len(texts) - FEWEST + 1]
    assert 0 < len(enough) == len({*enough})
    np.testing.assert_array_equal(by_study(numbers, examples, {study: enough})[study], numbers[len(enough) :])
    for known in ({study: few}, {"another": enough}, None):
        assert len(by_study(numbers, examples, known)[study]) == len(examples)


@pytest.mark.parametrize("n", [10, 29, 150])
def test_coverage_is_at_least_the_level(rng, n):
    """Over many draws of n residuals, the next one lies within with the wanted probability (and at most
    1 / (n + 1) more)."""
    draws = np.abs(rng.standard_t(4, size=(4000, n + 1)))
    inside = np.mean([row[-1] <= half_width(row[:-1], 0.9) for row in draws])
    assert 0.9 - 0.015 < inside < 0.9 + 1 / (n + 1) + 0.015


def test_residuals_are_out_of_fold(data, monkeypatch):
    """No predictor sees what it is asked for, and every example is asked for once."""
    seen, asked = [], []
    real = MacsPredictor.predict

    def fit(self, networks, latency_us, kernel_us=None):
        seen.append({n.codes for n in networks})
        return original(self, networks, latency_us, kernel_us)

    original = MacsPredictor.fit
    monkeypatch.setattr(MacsPredictor, "fit", fit)
    monkeypatch.setattr(
        MacsPredictor, "predict", lambda s, n: asked.append({x.codes for x in n}) or real(s, n)
    )
    residuals = out_of_fold(clone(MacsPredictor()), data.train)
    assert residuals.shape == (len(data.train),)
    assert np.abs(residuals).max() < 1e-4
    assert all(not learned & judged for learned, judged in zip(seen, asked, strict=True))
    assert set.union(*asked) == {e.network.codes for e in data.train}
    assert sum(map(len, asked)) == len(data.train)


def test_only_networks_that_fill_the_space_calibrate(data):
    examples = [
        replace(e, record=replace(e.record, chosen_as="unsure" if i % 3 == 0 else "filling"))
        for i, e in enumerate(data.examples[:45])
    ]
    residuals = np.arange(45.0)
    kept = representative(residuals, examples)
    assert kept.tolist() == [i for i in range(45) if i % 3]
    few = examples[: FEWEST + 5]
    assert representative(residuals[: len(few)], few).tolist() == list(range(len(few)))
