"""Synthetic objectives over a real space, and a measuring lock of the tests' own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from profiling.lock import measuring
from search.problem import Candidate
from search.quality import Quality
from supernet import Architecture, Space


class SyntheticQuality(Quality):
    """Concave in each slot's choice, with weights of its own; counts its calls."""

    name = "synthetic"
    is_accuracy = False

    def __init__(self, space: Space, seed: int = 0) -> None:
        self.space = space
        self.weights = np.random.default_rng(seed).uniform(0.2, 1, len(space.slots))
        self.asked: list[Architecture] = []

    def of(self, architecture: Architecture) -> float:
        self.asked.append(architecture)
        return float(self.of_codes(np.array([self.space.encode(architecture)]))[0])

    def of_codes(self, codes: np.ndarray) -> np.ndarray:
        return np.sqrt((codes + 1) * self.weights).sum(axis=1)


class SyntheticLatency:
    """Stands for a compiled predictor: 100 us, and a positive cost of each slot's choice."""

    def __init__(self, space: Space, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.costs = [np.sort(rng.uniform(1, 50, len(slot.choices))) for slot in space.slots]

    def predict_codes(self, codes: np.ndarray) -> np.ndarray:
        return 100 + sum(cost[codes[:, i]] for i, cost in enumerate(self.costs))


def all_codes(space: Space) -> np.ndarray:
    """Every architecture once, shape (n, n_slots)."""
    rows = list(itertools.product(*(range(len(slot.choices)) for slot in space.slots)))
    return np.unique(space.canonical(np.array(rows)), axis=0)


def hypervolume(points: Sequence[tuple[float, float]], worst: tuple[float, float]) -> float:
    """Area that (latency, quality) points dominate, bounded by `worst`."""
    area, best = 0.0, worst[1]
    for latency, quality in sorted(points):
        if quality > best:
            area += (worst[0] - latency) * (quality - best)
            best = quality
    return area


@pytest.fixture(scope="session", name="all_codes")
def _all_codes():
    return all_codes


@pytest.fixture(scope="session", name="hypervolume")
def _hypervolume():
    return hypervolume


@pytest.fixture
def space(tiny_network) -> Space:
    return tiny_network.space


@pytest.fixture(scope="session")
def objectives():
    """A synthetic quality and latency of any space."""
    return lambda space: (SyntheticQuality(space), SyntheticLatency(space))


@pytest.fixture
def quality(space) -> SyntheticQuality:
    return SyntheticQuality(space)


@pytest.fixture
def latency(space) -> SyntheticLatency:
    return SyntheticLatency(space)


@pytest.fixture(scope="session")
def candidates_of():
    """Candidates with the given (latency_us, quality) and architectures of their own."""

    def make(points: Sequence[tuple[float, float]]) -> list[Candidate]:
        return [
            Candidate(Architecture((i,)), float(q), float(us), 1000 + i) for i, (us, q) in enumerate(points)
        ]

    return make


@pytest.fixture(scope="session")
def own_lock(tmp_path_factory) -> Iterator[Path]:
    """Measuring in tests neither waits for a measurement on this machine nor hinders one."""
    folder = tmp_path_factory.mktemp("lock")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring.__wrapped__, "__defaults__", (folder / "ovnas-measuring.lock",))
        patch.setenv("TMPDIR", str(folder))  # where the processes that we start look for it
        yield folder
