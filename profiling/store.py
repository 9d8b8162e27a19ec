"""Measurements on disk: one SQLite file a study, target and machine.

Raw samples are kept; every summary is derived when read. One transaction a network: a kill at any
time loses at most the block in progress, and disturbed networks that wait to be measured again.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from profiling.kernel import Kernel
from profiling.load import level_of
from profiling.machine import describe_difference
from profiling.plan import Plan
from profiling.record import KernelTime, NetworkRecord, RawNetwork, Reason, records_of
from profiling.store_file import KERNEL_COLUMNS, create_file, open_file
from profiling.timing import Round, anchor_level
from supernet.architecture import Architecture
from supernet.errors import OvnasError

if TYPE_CHECKING:
    from profiling.target import Target

__all__ = ["KernelTime", "NetworkRecord", "Store"]

Process = Literal["collect", "repeat"]


class Store:
    """The measurements of one study on one machine for one target."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection
        self.meta: dict[str, Any] = {
            key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM meta")
        }
        self.plan = Plan.from_json(self.meta["plan"])
        self.level = level_of(self.meta["target"])

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, is_written: bool = False) -> Iterator[Store]:
        """An existing file, to read it only unless it `is_written`.

        Raises OvnasError if there is none, or it is damaged, foreign or newer.
        """
        if not path.is_file():
            raise OvnasError(
                f"there are no measurements at {path}; make them with", command="profiling.collect"
            )
        with open_file(path, is_written=is_written) as connection:
            try:
                store = cls(path, connection)
            except (ValueError, KeyError, OvnasError) as error:
                raise OvnasError(f"{path} is damaged: {error}; move it away") from None
            yield store

    @classmethod
    @contextmanager
    def create_or_open(cls, path: Path, meta: dict[str, Any]) -> Iterator[Store]:
        """As `open` to write, or a new file with `meta`: study, machine, properties, target, plan, peak,
        overhead_us.

        Raises OvnasError if the file's machine, properties, target or plan is not that of `meta`.
        """
        if not path.is_file():
            create_file(path, meta)
        with cls.open(path, is_written=True) as store:
            store.require(meta["machine"], meta["target"], meta["properties"])
            if Plan.from_json(meta["plan"]) != store.plan:
                raise OvnasError(
                    f"{path} was measured for another model, space or kernels; move it away and collect "
                    "again, or take another --runs-dir"
                )
            yield store

    def require(
        self,
        machine: dict[str, Any],
        target: Target | None = None,
        properties: dict[str, Any] | None = None,
    ) -> None:
        """Raises OvnasError, naming what differs, unless the rows are of this machine, and of this target
        and these effective properties where they are given."""
        found = [
            describe_difference(self.meta["machine"], machine),
            *_differing("target", self.meta["target"], target),
            *_differing("property", self.meta["properties"], properties),
        ]
        if difference := "; ".join(filter(None, found)):
            raise OvnasError(
                f"{self.path} was measured under other conditions ({difference}); move it away and collect "
                "again, or take another --runs-dir"
            )

    def architectures(self) -> list[Architecture]:
        """What is measured, in the order of measurement."""
        rows = self._db.execute("SELECT architecture FROM networks ORDER BY id")
        return [Architecture.parse(text) for (text,) in rows]

    def add(
        self,
        architecture: Architecture,
        rounds: Sequence[Round],
        kernels: Sequence[KernelTime],
        prepare_s: float,
        chosen_as: Reason = "filling",
    ) -> None:
        """Adds one network in one transaction."""
        macs = self.plan.space.macs(architecture)
        row = (str(architecture), macs, chosen_as, prepare_s, time.time())
        with self._db as db:
            self._insert("networks (architecture, macs, chosen_as, prepare_s, measured_at)", [row])
            (network,) = db.execute("SELECT last_insert_rowid()").fetchone()
            self._add_rounds(network, "collect", rounds)
            rows = [
                (
                    *(network, i, k.layer, k.name, k.exec_type, k.in_layout, k.layout),
                    *(json.dumps(k.originals), k.counter_us),
                    *astuple(k.kernel),
                )
                for i, k in enumerate(kernels)
            ]
            self._insert("kernels", rows)

    def add_repeat(self, architecture: Architecture, rounds: Sequence[Round]) -> None:
        """Adds the rounds of a second process for a network already measured."""
        with self._db as db:
            (network,) = db.execute(
                "SELECT id FROM networks WHERE architecture = ?", (str(architecture),)
            ).fetchone()
            db.execute("DELETE FROM rounds WHERE network = ? AND process = 'repeat'", (network,))
            self._add_rounds(network, "repeat", rounds)

    def _add_rounds(self, network: int, process: Process, rounds: Sequence[Round]) -> None:
        rows = [
            (network, process, i, int(r.is_flagged), r.place, *map(_bytes, (r.samples, r.before, r.after)))
            for i, r in enumerate(rounds)
        ]
        self._insert("rounds", rows)

    def _insert(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)

    def records(self, *, held_out: Collection[Architecture] = ()) -> list[NetworkRecord]:
        """Every network with its kernels, in the order of measurement; what kernels cost beside themselves is
        not learned from those `held_out`."""
        try:
            return records_of(self.networks(), self.level, float(self.meta["overhead_us"]), held_out)
        except (sqlite3.DatabaseError, ValueError, LookupError, ArithmeticError, OvnasError) as error:
            raise OvnasError(f"{self.path} is damaged: {error}; move it away") from None

    def anchor_us(self) -> float:
        """The anchor's latency over all rounds: the speed of the machine that latencies refer to."""
        return anchor_level([r for n in self.networks() for r in n.rounds], self.level)

    def networks(self) -> list[RawNetwork]:
        """Every network as it was stored, in the order of measurement."""
        rounds: dict[tuple[int, str], list[Round]] = {}
        for network, process, flagged, place, *blobs in self._db.execute(
            "SELECT network, process, is_flagged, place, samples_us, before_us, after_us FROM rounds "
            "ORDER BY network, process, position"
        ):
            samples, before, after = map(_floats, blobs)
            own = rounds.setdefault((network, process), [])
            own.append(Round(samples, before, after, place, bool(flagged)))
        rows = self._db.execute(
            "SELECT id, architecture, chosen_as, macs, prepare_s FROM networks ORDER BY id"
        ).fetchall()
        return [
            RawNetwork(
                architecture=Architecture.parse(text),
                chosen_as=chosen_as,
                macs=macs,
                prepare_s=prepare_s,
                rounds=tuple(rounds[network, "collect"]),
                repeats=tuple(rounds.get((network, "repeat"), ())),
                kernels=self._kernels(network),
            )
            for network, text, chosen_as, macs, prepare_s in rows
        ]

    def n_unplanned(self) -> int:
        """Networks that execute other kernels than the plan says of them."""
        return sum(
            Counter(self.plan.of(n.architecture)) != Counter(k.kernel for k in n.kernels)
            for n in self.networks()
        )

    def merge(self, other: Store) -> int:
        """Adds the networks of `other` that are not here yet; returns how many.

        Raises OvnasError, naming what differs, unless both are of one machine, target and plan.
        """
        other.require(self.meta["machine"], self.meta["target"], self.meta["properties"])
        if other.plan != self.plan:
            raise OvnasError(
                f"{other.path} was measured for another model, space or kernels than {self.path}"
            )
        known = set(self.architectures())
        fresh = [network for network in other.networks() if network.architecture not in known]
        for network in fresh:
            self.add(
                network.architecture, network.rounds, network.kernels, network.prepare_s, network.chosen_as
            )
        repeated = {n.architecture for n in self.networks() if n.repeats}
        for network in other.networks():  # also those that a killed merge has left without
            if network.repeats and network.architecture not in repeated:
                self.add_repeat(network.architecture, network.repeats)
        return len(fresh)

    def _kernels(self, network: int) -> tuple[KernelTime, ...]:
        return tuple(
            KernelTime(
                layer,
                name,
                exec_type,
                in_layout,
                layout,
                tuple(json.loads(fused)),
                Kernel(*own),
                counter_us,
            )
            for layer, name, exec_type, in_layout, layout, fused, counter_us, *own in self._db.execute(
                "SELECT layer, name, exec_type, in_layout, layout, originals, counter_us, "
                f"{', '.join(KERNEL_COLUMNS)} FROM kernels WHERE network = ? ORDER BY position",
                (network,),
            )
        )


def _differing(what: str, theirs: Mapping[str, Any], ours: Mapping[str, Any] | None) -> list[str]:
    """One line a key that is not equal in both; nothing where there is nothing to compare with."""
    if ours is None:
        return []
    return [
        f"{what} {key}: {theirs.get(key)!r} there, {ours.get(key)!r} here"
        for key in sorted({*theirs, *ours})
        if theirs.get(key) != ours.get(key)
    ]


def _bytes(samples: NDArray[np.float32]) -> bytes:
    return samples.astype("<f4").tobytes()


def _floats(blob: bytes) -> NDArray[np.float32]:
    return np.frombuffer(blob, dtype="<f4")
