"""The fastest architectures of a space within a budget of MACs, by predicted latency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from supernet.errors import OvnasError
from supernet.space import Space

__all__ = ["Found", "fastest_within"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Score = Callable[[Codes], Floats]

POPULATION, PARENTS, GENERATIONS = 8192, 512, 120
MOST_CHANGES = 4


@dataclass(frozen=True)
class Found:
    """Distinct architectures, fastest first, shape (n, n_slots), and how many were scored on the way."""

    codes: Codes
    latency_us: Floats
    macs: Floats
    n_scored: int


def fastest_within(
    space: Space,
    latency: Score,
    macs: Score,
    limits: tuple[float, float],
    rng: np.random.Generator,
    *,
    keep: int = 8,
    differing: int = 6,
    start: Codes | None = None,
) -> Found:
    """The `keep` fastest architectures whose MACs lie within `limits`, ends included.

    An evolution whose parents are the fastest within the limits (before there are any, the nearest to
    them): children cross two parents and change up to MOST_CHANGES slots, or trade one slot's step down
    for another's up. Any two that are returned differ in at least `differing` slots, so that they are
    not one network's twins. Raises OvnasError if none was within the limits.
    """
    sizes = np.array([len(slot.choices) for slot in space.slots])
    low, high = limits
    codes = space.sample_codes(POPULATION, rng)
    if start is not None:
        codes[: len(start)] = start
    parents = np.empty((0, len(sizes)), dtype=np.int64)
    keys = rng.integers(1, 2**40, len(sizes))
    n_scored = 0
    best: dict[bytes, tuple[float, float]] = {}
    for _ in range(GENERATIONS):
        codes = np.concatenate([parents, space.canonical(codes)])
        _, first = np.unique(codes @ keys, return_index=True)  # sorting rows would take most of the time
        codes = codes[first]
        cost, work = latency(codes), macs(codes)
        n_scored += len(codes)
        outside = np.maximum(low - work, 0) + np.maximum(work - high, 0)
        order = np.lexsort((cost, outside))[:PARENTS]
        parents = codes[order]
        for i in order[outside[order] == 0]:
            best[codes[i].tobytes()] = (float(cost[i]), float(work[i]))
        codes = _children(parents, sizes, POPULATION, rng)
    if not best:
        raise OvnasError(
            f"no architecture between {low / 1e6:.0f} and {high / 1e6:.0f} million MACs among {n_scored:,} "
            "of this space"
        )
    return _distinct(best, len(sizes), keep, differing, n_scored)


def _children(parents: Codes, sizes: Codes, n: int, rng: np.random.Generator) -> Codes:
    """Codes of shape (n, n_slots): each from two parents, changed at random."""
    # The square favours the first parents, which are the best.
    first, second = ((len(parents) * rng.random(n) ** 2).astype(np.int64) for _ in range(2))
    mixed = rng.random((n, len(sizes))) < np.where(rng.random(n) < 0.5, 0.5, 0.0)[:, None]
    children = np.where(mixed, parents[second], parents[first])
    rows = np.arange(n)
    for change in range(MOST_CHANGES):
        active = rng.random(n) < 1 / (1 + change)
        slot = rng.integers(0, len(sizes), n)
        step = rng.choice([-2, -1, 1, 2], n)
        anywhere = rng.integers(0, sizes[slot])
        value = np.where(rng.random(n) < 0.2, anywhere, children[rows, slot] + step)
        value = np.clip(value, 0, sizes[slot] - 1)
        children[rows, slot] = np.where(active, value, children[rows, slot])
    return children


def _distinct(
    best: dict[bytes, tuple[float, float]], n_slots: int, keep: int, differing: int, n_scored: int
) -> Found:
    ranked = sorted(best.items(), key=lambda item: (item[1], item[0]))
    chosen: list[Codes] = []
    values: list[tuple[float, float]] = []
    for key, value in ranked:
        codes = np.frombuffer(key, dtype=np.int64)
        if all(int((codes != other).sum()) >= min(differing, n_slots) for other in chosen):
            chosen.append(codes)
            values.append(value)
        if len(chosen) == keep:
            break
    return Found(
        np.array(chosen), np.array([v[0] for v in values]), np.array([v[1] for v in values]), n_scored
    )
