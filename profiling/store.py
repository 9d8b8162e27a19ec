"""Measurements on disk: one SQLite file a study, target and machine.

Raw samples are kept; every summary is derived when read. One transaction a network: a kill at any
time loses at most the network in progress.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from profiling.kernel import Kernel
from profiling.machine import describe_difference
from profiling.plan import Plan
from profiling.timing import Round, anchor_level, ratio
from supernet.architecture import Architecture
from supernet.errors import OvnasError

__all__ = ["KernelTime", "NetworkRecord", "Store"]

APPLICATION_ID = 0x6F766E61  # "ovna"
# 1: first.
SCHEMA_VERSION = 1

Process = Literal["collect", "repeat"]

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE networks (
    id INTEGER PRIMARY KEY, architecture TEXT NOT NULL UNIQUE, macs INTEGER NOT NULL,
    prepare_s REAL NOT NULL, measured_at REAL NOT NULL
);
CREATE TABLE rounds (
    network INTEGER NOT NULL REFERENCES networks(id), process TEXT NOT NULL, position INTEGER NOT NULL,
    is_flagged INTEGER NOT NULL, samples_us BLOB NOT NULL, anchor_us BLOB NOT NULL,
    PRIMARY KEY (network, process, position)
);
CREATE TABLE kernels (
    network INTEGER NOT NULL REFERENCES networks(id), position INTEGER NOT NULL, layer TEXT NOT NULL,
    name TEXT NOT NULL, exec_type TEXT NOT NULL, layout TEXT NOT NULL, counter_us REAL NOT NULL,
    {columns}, PRIMARY KEY (network, position)
);
"""
_KERNEL_COLUMNS = tuple(field.name for field in fields(Kernel))


@dataclass(frozen=True)
class KernelTime:
    """One executed kernel of one network. `counter_us` is what its counter says; `time_us` is its share
    of the network's clean end-to-end latency."""

    layer: str
    name: str
    exec_type: str
    layout: str
    kernel: Kernel
    counter_us: float
    time_us: float = float("nan")


@dataclass(frozen=True)
class NetworkRecord:
    """One measured network. `repeat_us` is its latency in another process, NaN if not repeated.

    Latencies are ratios to the anchor, times the anchor's latency over all rounds of the file: drift
    of the machine's speed cancels.
    The latencies of `kernels` and `overhead_us` sum to `latency_us`.
    """

    architecture: Architecture
    macs: int
    latency_us: float
    repeat_us: float
    overhead_us: float
    n_flagged: int
    n_rounds: int
    prepare_s: float
    kernels: tuple[KernelTime, ...]

    @property
    def counters_us(self) -> float:
        """Sum of the uncorrected counters."""
        return sum(k.counter_us for k in self.kernels)


class Store:
    """The measurements of one study on one machine for one target."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection
        self.meta: dict[str, Any] = {
            key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM meta")
        }
        self.plan = Plan.from_json(self.meta["plan"])

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Store]:
        """An existing file. Raises OvnasError if there is none, or it is damaged, foreign or newer."""
        if not path.is_file():
            raise OvnasError(
                f"there are no measurements at {path}; make them with python -m profiling.collect "
                "(same --study and --runs-dir)"
            )
        with _connection(path) as connection:
            _check_format(connection, path)
            try:
                store = cls(path, connection)
            except (ValueError, KeyError, OvnasError) as error:
                raise OvnasError(f"{path} is damaged: {error}; move it away") from None
            yield store

    @classmethod
    @contextmanager
    def create_or_open(cls, path: Path, meta: dict[str, Any]) -> Iterator[Store]:
        """As `open`, or a new file with `meta`: study, machine, target, plan, overhead_us.

        Raises OvnasError if the file's machine, target or plan is not that of `meta`.
        """
        if not path.is_file():
            _create(path, meta)
        with cls.open(path) as store:
            store.require(meta["machine"], meta["target"])
            if Plan.from_json(meta["plan"]) != store.plan:
                raise OvnasError(
                    f"{path} was measured for another model, space or kernels; take another --runs-dir"
                )
            yield store

    def require(self, machine: dict[str, Any], target: dict[str, Any] | None = None) -> None:
        """Raises OvnasError, naming what differs, unless the rows are of this machine and target."""
        difference = describe_difference(self.meta["machine"], machine)
        if target is not None and target != self.meta["target"]:
            parts = [
                f"target {key}: {self.meta['target'].get(key)!r} there, {value!r} here"
                for key, value in target.items()
                if self.meta["target"].get(key) != value
            ]
            difference = "; ".join(filter(None, [difference, *parts]))
        if difference:
            raise OvnasError(f"{self.path} was measured elsewhere ({difference}); take another --runs-dir")

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
    ) -> None:
        """Adds one network in one transaction."""
        macs = self.plan.space.macs(architecture)
        marks = ", ".join("?" * (7 + len(_KERNEL_COLUMNS)))
        with self._db as db:
            cursor = db.execute(
                "INSERT INTO networks (architecture, macs, prepare_s, measured_at) VALUES (?, ?, ?, ?)",
                (str(architecture), macs, prepare_s, time.time()),
            )
            network = cursor.lastrowid
            assert network is not None
            self._add_rounds(network, "collect", rounds)
            db.executemany(
                f"INSERT INTO kernels VALUES ({marks})",
                [
                    (network, i, k.layer, k.name, k.exec_type, k.layout, k.counter_us, *astuple(k.kernel))
                    for i, k in enumerate(kernels)
                ],
            )

    def add_repeat(self, architecture: Architecture, rounds: Sequence[Round]) -> None:
        """Adds the rounds of a second process for a network already measured."""
        with self._db as db:
            (network,) = db.execute(
                "SELECT id FROM networks WHERE architecture = ?", (str(architecture),)
            ).fetchone()
            db.execute("DELETE FROM rounds WHERE network = ? AND process = 'repeat'", (network,))
            self._add_rounds(network, "repeat", rounds)

    def _add_rounds(self, network: int, process: Process, rounds: Sequence[Round]) -> None:
        self._db.executemany(
            "INSERT INTO rounds VALUES (?, ?, ?, ?, ?, ?)",
            [
                (network, process, i, int(r.is_flagged), _bytes(r.samples), _bytes(r.anchor))
                for i, r in enumerate(rounds)
            ],
        )

    def records(self) -> list[NetworkRecord]:
        """Every network with its kernels, in the order of measurement."""
        try:
            rounds = self._rounds()
            collected = [r for own in rounds["collect"].values() for r in own]
            if not collected:
                return []
            reference_us = anchor_level(collected)
            rows = self._db.execute(
                "SELECT id, architecture, macs, prepare_s FROM networks ORDER BY id"
            ).fetchall()
            return [
                self._record(row, reference_us, rounds["collect"][row[0]], rounds["repeat"].get(row[0], []))
                for row in rows
            ]
        except (sqlite3.DatabaseError, ValueError, LookupError, ArithmeticError, OvnasError) as error:
            raise OvnasError(f"{self.path} is damaged: {error}; move it away") from None

    def anchor_us(self) -> float:
        """The anchor's latency over all rounds: the speed of the machine that latencies refer to."""
        return anchor_level([r for own in self._rounds()["collect"].values() for r in own])

    def _rounds(self) -> dict[str, dict[int, list[Round]]]:
        found: dict[str, dict[int, list[Round]]] = {"collect": {}, "repeat": {}}
        for network, process, flagged, samples, anchor in self._db.execute(
            "SELECT network, process, is_flagged, samples_us, anchor_us FROM rounds "
            "ORDER BY network, process, position"
        ):
            own = found[process].setdefault(network, [])
            own.append(Round(_floats(samples), _floats(anchor), bool(flagged)))
        return found

    def _record(
        self,
        row: tuple[int, str, int, float],
        reference_us: float,
        rounds: list[Round],
        repeats: list[Round],
    ) -> NetworkRecord:
        network, text, macs, prepare_s = row
        latency = reference_us * ratio(rounds)
        overhead = min(float(self.meta["overhead_us"]), 0.5 * latency)
        rows = self._db.execute(
            f"SELECT layer, name, exec_type, layout, counter_us, {', '.join(_KERNEL_COLUMNS)} "
            "FROM kernels WHERE network = ? ORDER BY position",
            (network,),
        ).fetchall()
        counters_us = sum(row[4] for row in rows)
        if not (0 < latency < math.inf and 0 < counters_us < math.inf):
            raise ValueError(f"{text} has a latency of {latency} us and counters of {counters_us} us")
        scale = (latency - overhead) / counters_us
        kernels = tuple(
            KernelTime(
                layer=row[0],
                name=row[1],
                exec_type=row[2],
                layout=row[3],
                kernel=Kernel(*row[5:]),
                counter_us=row[4],
                time_us=row[4] * scale,
            )
            for row in rows
        )
        return NetworkRecord(
            architecture=Architecture.parse(text),
            macs=macs,
            latency_us=latency,
            repeat_us=reference_us * ratio(repeats),
            overhead_us=overhead,
            n_flagged=sum(r.is_flagged for r in rounds),
            n_rounds=len(rounds),
            prepare_s=prepare_s,
            kernels=kernels,
        )


def _bytes(samples: NDArray[np.float32]) -> bytes:
    return samples.astype("<f4").tobytes()


def _floats(blob: bytes) -> NDArray[np.float32]:
    return np.frombuffer(blob, dtype="<f4")


def _create(path: Path, meta: dict[str, Any]) -> None:
    """Writes a new file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    with _connection(partial) as connection:
        columns = ", ".join(f"{name} NOT NULL" for name in _KERNEL_COLUMNS)
        connection.executescript(_SCHEMA.format(columns=columns))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        rows = [(key, json.dumps(value)) for key, value in meta.items()]
        connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)
        connection.commit()
    os.replace(partial, path)


@contextmanager
def _connection(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path)
    try:
        yield connection
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise OvnasError(f"the disk is full: free some space at {path.parent} and run again") from None
        raise OvnasError(f"{path}: {error}") from None
    except sqlite3.DatabaseError as error:
        raise OvnasError(f"{path} is damaged, or no ovnas file: {error}; move it away") from None
    finally:
        connection.close()


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    """Before anything is written to the file."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise OvnasError(f"{path} is a foreign SQLite file; move it away")
    if version != SCHEMA_VERSION:
        raise OvnasError(f"{path} has schema {version}, but this version reads {SCHEMA_VERSION}")
    if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
        raise OvnasError(f"{path} is damaged; move it away")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
