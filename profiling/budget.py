"""How much to measure: a time or a number of networks, cut into blocks."""

from __future__ import annotations

from dataclasses import dataclass

from supernet.quantities import parse_budget

__all__ = ["BLOCK", "Budget", "Spent", "n_to_repeat"]

# Networks resident together: many, so that each one's rounds spread over more than a passing disturbance.
BLOCK = 16
FIRST_BLOCK, MIN_BLOCK = 8, 4
REPEAT_SHARE = 0.15
MIN_REPEATS, MAX_REPEATS = 8, 30
# A network of the second process needs no counters; a set-up there waits for a process to start.
REPEAT_COST, SET_UP_COST = 0.75, 1.2


@dataclass(frozen=True)
class Spent:
    """What a collection has used so far: seconds before measuring and since, and networks timed (a network
    that was timed again counts again)."""

    set_up_s: float
    measuring_s: float
    n_timed: int


@dataclass(frozen=True)
class Budget:
    """Seconds in all or networks in all, one of them."""

    seconds: float | None
    networks: int | None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Reads "90s", "5m", "1h" or "200". Raises OvnasError for anything else."""
        return cls(*parse_budget(text, "a budget"))

    def next_block(self, n_measured: int, spent: Spent) -> int:
        """How many networks to measure next, if `n_measured` are; a time leaves enough for the repeats."""
        if self.networks is not None:
            return max(0, min(BLOCK, self.networks - n_measured))
        assert self.seconds is not None
        if spent.n_timed == 0:
            return FIRST_BLOCK if spent.measuring_s == 0 else 0
        each_s = spent.measuring_s / spent.n_timed
        left_s = self.seconds - (1 + SET_UP_COST) * spent.set_up_s - spent.measuring_s
        for n in range(BLOCK, MIN_BLOCK - 1, -1):
            if each_s * (n + REPEAT_COST * n_to_repeat(n_measured + n)) <= left_s:
                return n
        return 0


def n_to_repeat(n_networks: int) -> int:
    """How many of the networks are measured in a second process for the ceiling."""
    return min(n_networks, max(MIN_REPEATS, min(MAX_REPEATS, round(REPEAT_SHARE * n_networks))))
