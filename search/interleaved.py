"""Short LoadGen runs of several networks in turn: a shared machine's speed drifts, ratios do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ratio", "in_turn", "ratio_of"]

LEVEL = 0.95


@dataclass(frozen=True)
class Ratio:
    """The median of the ratios of single rounds, and the ends of its 95 % interval (None where the rounds
    are too few to tell)."""

    value: float
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, float | list[float | None]]:
        """A JSON value of the fields."""
        return {"value": self.value, "interval": [self.low, self.high]}

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def in_turn(
    names: Sequence[str], rounds: int, rng: np.random.Generator, run: Callable[[str, int], float]
) -> dict[str, list[float]]:
    """`run(name, round)` for every name in each round, in a random order; its values by name."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for i in range(rounds):
        for place in rng.permutation(len(names)):
            found[names[place]].append(run(names[place], i))
    return found


def ratio_of(values: Sequence[float], base: Sequence[float]) -> Ratio:
    """Of two networks' values in the same rounds: each round says one ratio.

    Some rounds fall into a change of the machine's speed, so the median counts, with the distribution-free
    interval of the sign test.
    """
    from scipy.stats import binom

    ratios: NDArray[np.float64] = np.sort(np.asarray(values) / np.asarray(base))
    n = len(ratios)
    # As many at each end as chance puts on one side of the true median in 2.5 % of cases at most.
    left_out = int(binom.ppf((1 - LEVEL) / 2, n, 0.5))
    if left_out == 0:
        return Ratio(float(np.median(ratios)), None, None)
    return Ratio(float(np.median(ratios)), float(ratios[left_out - 1]), float(ratios[-left_out]))
