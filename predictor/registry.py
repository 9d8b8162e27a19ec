"""Predictors by name. Names are listed without importing what implements them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from supernet.errors import OvnasError, nearest

if TYPE_CHECKING:
    from predictor.base import LatencyPredictor

__all__ = ["ADAPTED", "BASELINES", "PREDICTORS", "make_predictor", "name_of", "register"]

PREDICTORS: dict[str, str] = {}
# Learns only from another predictor, so that it is made with `predictor.train --from`.
ADAPTED = "adapted"
# What a report sets a predictor against.
BASELINES = ("macs", "lookup", "ridge", "forest")


def register(name: str, home: str) -> None:
    """Makes the class at `home` ("module:Class") known as `name`. Raises ValueError if it is taken."""
    if name in PREDICTORS:
        raise ValueError(f"a predictor is registered as {name!r} already: {PREDICTORS[name]}")
    PREDICTORS[name] = home


def make_predictor(name: str, *, seed: int = 0) -> LatencyPredictor:
    """A new predictor with its default parameters. Raises OvnasError for an unknown name."""
    if name not in PREDICTORS:
        raise OvnasError(f"there is no predictor {name!r}{nearest(name, PREDICTORS)}")
    module, _, kind = PREDICTORS[name].partition(":")
    predictor: LatencyPredictor = getattr(importlib.import_module(module), kind)()
    if "seed" in predictor.get_params(deep=False):
        predictor.set_params(seed=seed)
    return predictor


def name_of(predictor: LatencyPredictor) -> str:
    """What its class is registered as. Raises OvnasError if it is not."""
    home = f"{type(predictor).__module__}:{type(predictor).__qualname__}"
    for name, registered in PREDICTORS.items():
        if registered == home:
            return name
    raise OvnasError(f"{home} is not registered; add it to predictor/registry.py")


register("xgb", "predictor.xgb:XgbPredictor")
register("macs", "predictor.macs:MacsPredictor")
register("lookup", "predictor.lookup:LookupPredictor")
register("ridge", "predictor.ridge:RidgePredictor")
register("forest", "predictor.forest:ForestPredictor")
register(ADAPTED, "predictor.adapted:AdaptedPredictor")
