"""Measured networks, split once into those to learn from and those to be judged by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from profiling.plan import Plan
from profiling.store import NetworkRecord, Store
from supernet.errors import OvnasError

__all__ = ["Dataset", "load_dataset"]

TEST_SHARE = 0.3
MIN_NETWORKS = 12


@dataclass(frozen=True)
class Dataset:
    """`train` and `test` share no architecture. `meta` holds study, machine and target;
    `anchor_us` is the latency of the maximal network that all latencies refer to."""

    plan: Plan
    train: tuple[NetworkRecord, ...]
    test: tuple[NetworkRecord, ...]
    meta: dict[str, Any]
    anchor_us: float
    seed: int

    @property
    def networks(self) -> tuple[NetworkRecord, ...]:
        """All of them."""
        return self.train + self.test


def load_dataset(path: Path, *, seed: int = 0) -> Dataset:
    """Reads a store and splits it at random; the two extremes of the space are always learned from.

    Raises OvnasError with too few networks for both parts.
    """
    with Store.open(path) as store:
        records = store.records()
        meta = {key: store.meta[key] for key in ("study", "machine", "target")}
        anchor_us = store.anchor_us() if records else float("nan")
        plan = store.plan
    if len(records) < MIN_NETWORKS:
        raise OvnasError(
            f"{path} holds {len(records)} networks, but {MIN_NETWORKS} are needed to learn and to judge; "
            "measure more with: python -m profiling.collect"
        )
    extremes = {plan.space.largest, plan.space.smallest}
    free = [i for i, r in enumerate(records) if r.architecture not in extremes]
    held_out = np.random.default_rng([seed, 2]).permutation(free)[: round(TEST_SHARE * len(records))]
    chosen = set(held_out.tolist())
    return Dataset(
        plan,
        train=tuple(r for i, r in enumerate(records) if i not in chosen),
        test=tuple(r for i, r in enumerate(records) if i in chosen),
        meta=meta,
        anchor_us=anchor_us,
        seed=seed,
    )
