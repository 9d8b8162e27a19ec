from __future__ import annotations

import importlib

import pytest

from predictor import registry
from predictor.base import LatencyPredictor
from predictor.registry import PREDICTORS, make_predictor, register
from supernet import OvnasError


@pytest.fixture
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "PREDICTORS", dict(PREDICTORS))
    return registry.PREDICTORS


def test_a_second_registration_raises(own_registry):
    register("new", "predictor.macs:MacsPredictor")
    before = dict(own_registry)
    for name in ("new", *PREDICTORS):
        with pytest.raises(ValueError, match=f"registered as '{name}' already: {before[name]}"):
            register(name, "predictor.xgb:XgbPredictor")
    assert own_registry == before
    assert make_predictor("new").get_params() == make_predictor("macs").get_params()


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(OvnasError, match="there is no predictor 'xbg'; did you mean 'xgb'"):
        make_predictor("xbg")
    with pytest.raises(OvnasError, match="known: adapted, forest, lookup, macs, ridge, xgb"):
        make_predictor("qqqqqqqq")


@pytest.mark.parametrize("name", PREDICTORS)
def test_members_are_what_their_entry_says(name):
    module, _, kind = PREDICTORS[name].partition(":")
    predictor = make_predictor(name, seed=7)
    assert type(predictor) is getattr(importlib.import_module(module), kind)
    assert isinstance(predictor, LatencyPredictor)
    assert predictor.get_params().get("seed", 7) == 7
    assert not [attribute for attribute in vars(predictor) if attribute.endswith("_")]


def test_listing_names_imports_nothing_heavy(in_other_process):
    heavy = ("xgboost", "sklearn", "numpy", "openvino", "torch", "pandas", "matplotlib")
    modules = "predictor, predictor.registry, predictor.train, predictor.report"
    code = f"import sys, {modules}; print([m for m in {heavy!r} if m in sys.modules])"
    assert in_other_process(code) == "[]\n"


def test_public_names_are_loaded_on_first_use():
    import predictor

    assert [n for n in predictor.__all__ if getattr(predictor, n).__name__ != n] == []
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = predictor.nothing
