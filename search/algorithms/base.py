"""What every search algorithm is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from search.problem import Problem
    from supernet.space import Space

__all__ = ["Algorithm", "extremes"]


class Algorithm(ABC):
    """Spends a problem's budget. What it evaluates depends on the problem and on `rng` alone, so a search
    whose evaluations are kept can be started again and goes on where it was."""

    def require(self, space: Space, budget: int) -> None:  # noqa: B027
        """Raises OvnasError where it cannot search such a space with so many evaluations."""

    @abstractmethod
    def search(self, problem: Problem, rng: np.random.Generator) -> None:
        """Evaluates architectures, the largest and the smallest first, until the budget is spent or nothing
        is left to find."""


def extremes(space: Space) -> NDArray[np.int64]:
    """Codes of the largest and the smallest architecture, shape (2, n_slots), one row if they are one."""
    return np.array(list(dict.fromkeys([space.encode(space.largest), space.encode(space.smallest)])))
