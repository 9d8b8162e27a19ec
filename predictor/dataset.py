"""Measured networks, split once into those to learn from and those to be judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from predictor.base import LatencyPredictor
from predictor.network import Conditions, Network
from profiling.machine import describe_setting_difference
from profiling.plan import Plan
from profiling.store import NetworkRecord, Store
from supernet.errors import OvnasError

__all__ = ["MIN_LEARNED", "Dataset", "Example", "load_dataset", "require_same"]

Floats = NDArray[np.float64]
AnyPredictor = TypeVar("AnyPredictor", bound=LatencyPredictor)
TEST_SHARE = 0.3
MIN_NETWORKS = 12
# The fewest to learn from: the largest of five folds leaves five of them, which is what trees need.
MIN_LEARNED = 7


@dataclass(frozen=True)
class Example:
    """One measured network: `network` is what a search sees of it (from the plan), `record` what was
    measured."""

    network: Network
    record: NetworkRecord
    study: str


@dataclass(frozen=True)
class Dataset:
    """`train` and `test` share no architecture. `plans` and `anchor_us` (the latency of the maximal network
    that a study's latencies refer to) are by study, in the order given; `meta` holds study (the first),
    studies, machine, target and, where it was measured, peak."""

    plans: dict[str, Plan]
    conditions: Conditions
    train: tuple[Example, ...]
    test: tuple[Example, ...]
    meta: dict[str, Any]
    anchor_us: dict[str, float]
    seed: int

    @property
    def examples(self) -> tuple[Example, ...]:
        """All of them."""
        return self.train + self.test

    @staticmethod
    def latencies(examples: Sequence[Example]) -> Floats:
        """Measured latencies in microseconds, shape (n,)."""
        return np.array([e.record.latency_us for e in examples], dtype=np.float64)

    @staticmethod
    def measured_networks(examples: Sequence[Example]) -> list[Network]:
        """Each network with the kernels that were executed, in place of those of the plan."""
        return [
            Network(
                tuple(k.kernel for k in e.record.kernels),
                e.network.conditions,
                e.network.space,
                e.network.codes,
            )
            for e in examples
        ]

    @classmethod
    def fit(cls, predictor: AnyPredictor, examples: Sequence[Example]) -> AnyPredictor:
        """Fits on the examples' executed kernels, their times and the end-to-end latencies."""
        times = [np.array([k.time_us for k in e.record.kernels]) for e in examples]
        return predictor.fit(cls.measured_networks(examples), cls.latencies(examples), times)


def load_dataset(paths: Sequence[Path], *, seed: int = 0, n_train: int | None = None) -> Dataset:
    """Reads the stores of one or more studies and splits each at random.

    Only networks that were chosen to fill the space are held out, so that they stand for all of it; the
    extremes are always learned from. `n_train` keeps the first so many of each study's others, in the
    order of measurement (which fills the space); where a store has no more than that, its first `n_train`
    are learned from and those of the rest that fill the space are held out, if any. Raises OvnasError with
    too few networks, and for stores of different machines or targets.
    """
    plans: dict[str, Plan] = {}
    anchor_us: dict[str, float] = {}
    train: list[Example] = []
    test: list[Example] = []
    meta: dict[str, Any] = {}
    for path in paths:
        with Store.open(path) as store:
            records, plan, own = store.records(), store.plan, store.meta
            study = str(own["study"])
            if study in plans:
                raise OvnasError(f"study {study!r} is given twice; give each one once")
            least = MIN_NETWORKS if n_train is None else max(n_train, MIN_LEARNED)
            if len(records) < least:
                raise OvnasError(
                    f"{path} holds {len(records)} networks, but {least} are needed to learn and to "
                    "judge; measure more with: python -m profiling.collect"
                )
            plans[study], anchor_us[study] = plan, store.anchor_us()
            learned, judged = _split(records, plan, np.random.default_rng([seed, 2]))
            if n_train is not None and n_train > len(learned):
                learned, rest = records[:n_train], records[n_train:]
                judged = [r for r in rest if r.chosen_as == "filling"]
            learned = learned[:n_train]
            # Once more, for the shares of kernels must not know the networks that they are judged on.
            others = {r.architecture for r in records} - {r.architecture for r in learned}
            again = {r.architecture: r for r in store.records(held_out=others)}
        if not meta:
            meta = {key: own[key] for key in ("study", "machine", "target", "peak") if key in own}
        require_same(meta, own, path)
        conditions = Conditions.of(meta["machine"], meta["target"])
        for part, chosen in ((train, learned), (test, judged)):
            for architecture in (r.architecture for r in chosen):
                network = Network.planned(plan, architecture, conditions)
                part.append(Example(network, again[architecture], study))
    meta["studies"] = list(plans)
    return Dataset(plans, conditions, tuple(train), tuple(test), meta, anchor_us, seed)


def _split(
    records: Sequence[NetworkRecord], plan: Plan, rng: np.random.Generator
) -> tuple[list[NetworkRecord], list[NetworkRecord]]:
    """The share is of what a collection measured: finalists, which come later, do not change who is held
    out."""
    extremes = {plan.space.largest, plan.space.smallest}
    n_test = round(TEST_SHARE * sum(r.chosen_as != "finalist" for r in records))
    free = [i for i, r in enumerate(records) if r.architecture not in extremes and r.chosen_as == "filling"]
    chosen = set(rng.permutation(free)[:n_test].tolist())
    return (
        [r for i, r in enumerate(records) if i not in chosen],
        [r for i, r in enumerate(records) if i in chosen],
    )


def require_same(first_meta: dict[str, Any], other_meta: dict[str, Any], path: Path) -> None:
    """Raises OvnasError unless what lies at `path` was measured on the first one's machine for its target.
    Both values hold machine and target, the first one study too."""
    difference = describe_setting_difference(first_meta, other_meta)
    if difference:
        raise OvnasError(
            f"{path} was measured under other conditions than {first_meta['study']!r} ({difference}); "
            "train a predictor for each, or adapt one with --from"
        )
