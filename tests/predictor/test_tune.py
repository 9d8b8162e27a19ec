from __future__ import annotations

import numpy as np
import pytest

from predictor.macs import MacsPredictor
from predictor.tune import tune
from predictor.xgb import XgbPredictor
from supernet import OvnasError

SMALL = XgbPredictor(n_estimators=5, n_joint=0, bags=1, max_depth=2)


class Few(XgbPredictor):
    CANDIDATES = {"n_estimators": (1, 40), "learning_rate": (0.01, 0.3)}  # noqa: RUF012


def test_the_best_comes_first_and_the_own_are_tried(data):
    own = Few(n_estimators=1, n_joint=0, learning_rate=0.01, bags=1)
    tried = []
    trials = tune(own, data.train, n_candidates=5, on_trial=tried.append)
    assert tried[0].parameters == {"n_estimators": 1, "learning_rate": 0.01}
    assert sorted(tried, key=lambda t: t.error) == trials
    assert trials[0].error < tried[0].error
    assert all(len(t.errors) == len(data.train) for t in trials)
    assert trials[0].to_json() == {"parameters": trials[0].parameters, "error": np.mean(trials[0].errors)}
    assert (own.n_estimators, own.learning_rate) == (1, 0.01)
    assert tune(own, data.train, n_candidates=5) == trials


def test_no_architecture_is_on_both_sides(data, monkeypatch):
    sides = []

    def errors(model, learned, judged):
        sides.append(({e.network.codes for e in learned}, {e.network.codes for e in judged}))
        return np.zeros(len(judged))

    monkeypatch.setattr("predictor.tune._errors", errors)
    tune(SMALL, [*data.train, *data.train], n_candidates=1)
    assert len(sides) == 5
    assert all(not learned & judged for learned, judged in sides)


def test_each_network_has_its_own_error(data, monkeypatch):
    """In the order of the examples, whatever the folds."""
    monkeypatch.setattr(
        "predictor.tune._errors", lambda model, learned, judged: [e.record.macs for e in judged]
    )
    (trial,) = tune(SMALL, data.train, n_candidates=1)
    assert list(trial.errors) == [e.record.macs for e in data.train]
    assert trial.error == pytest.approx(np.mean(trial.errors))


def test_what_cannot_be_tuned(data):
    with pytest.raises(OvnasError, match="MacsPredictor has no parameters to tune"):
        tune(MacsPredictor(), data.train)
    with pytest.raises(OvnasError, match="at least 5 architectures, but got 3"):
        tune(SMALL, data.train[:3])
