"""Search algorithms by name. Names are listed without importing what implements them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from supernet.errors import OvnasError, nearest

if TYPE_CHECKING:
    from search.algorithms.base import Algorithm

__all__ = ["ALGORITHMS", "DEFAULT", "make_algorithm", "register"]

ALGORITHMS: dict[str, str] = {}
DEFAULT = "guided"


def register(name: str, home: str) -> None:
    """Makes the class at `home` ("module:Class") known as `name`. Raises ValueError if it is taken."""
    if name in ALGORITHMS:
        raise ValueError(f"an algorithm is registered as {name!r} already: {ALGORITHMS[name]}")
    ALGORITHMS[name] = home


def make_algorithm(name: str) -> Algorithm:
    """A new algorithm with its default parameters. Raises OvnasError for an unknown name."""
    if name not in ALGORITHMS:
        raise OvnasError(f"there is no search algorithm {name!r}{nearest(name, ALGORITHMS)}")
    module, _, kind = ALGORITHMS[name].partition(":")
    algorithm: Algorithm = getattr(importlib.import_module(module), kind)()
    return algorithm


register("guided", "search.algorithms.guided:Guided")
register("nsga2", "search.algorithms.nsga2:Nsga2")
register("random", "search.algorithms.random_sampling:RandomSampling")
register("exhaustive", "search.algorithms.exhaustive:Exhaustive")
