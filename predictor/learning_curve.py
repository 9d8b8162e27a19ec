"""How the error falls with the number of networks measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone

from predictor.base import LatencyPredictor
from predictor.dataset import Dataset
from predictor.metrics import accuracy_of

__all__ = ["Point", "curve_sizes", "learning_curve"]

MIN_SIZE = 10


@dataclass(frozen=True)
class Point:
    """One training: `n` networks of draw number `repeat`, judged on all test networks."""

    name: str
    n: int
    repeat: int
    mape: float
    kendall_tau: float

    def to_json(self) -> dict[str, float | int | str]:
        """Its fields."""
        return dict(self.__dict__)


def curve_sizes(n: int) -> list[int]:
    """About doubling, from MIN_SIZE up to all `n`."""
    sizes = [n]
    while sizes[-1] >= 2 * MIN_SIZE:
        sizes.append(round(sizes[-1] / 2))
    return sizes[::-1]


def learning_curve(
    data: Dataset,
    predictors: Mapping[str, LatencyPredictor],
    *,
    repeats: int = 3,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> list[Point]:
    """Clones of predictors, with their parameters, trained on random parts of the training networks.

    A draw's smaller parts are inside its larger ones; the whole is trained on once. The test networks are
    always the same, so that only what was learned from differs.
    """
    measured = data.latencies(data.test)
    unseen = [e.network for e in data.test]
    orders = [np.random.default_rng([seed, 6, r]).permutation(len(data.train)) for r in range(repeats)]
    points = []
    for n in curve_sizes(len(data.train)):
        for repeat in range(repeats if n < len(data.train) else min(1, repeats)):
            part = [data.train[i] for i in sorted(orders[repeat][:n])]
            for name, predictor in predictors.items():
                fitted = data.fit(clone(predictor), part)
                found = accuracy_of(measured, fitted.predict(unseen))
                points.append(Point(name, n, repeat, found["mape"], found["kendall_tau"]))
                advance()
    return points
