"""The file that measurements are kept in: its format, how it is made, opened and checked."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from profiling.kernel import Kernel
from supernet.errors import OvnasError
from supernet.replacing import replacing

__all__ = ["APPLICATION_ID", "KERNEL_COLUMNS", "SCHEMA_VERSION", "create_file", "open_file"]

APPLICATION_ID = 0x6F766E61  # "ovna"
# 1: first.
# 2: the anchor's samples at both ends of a round, why a network was chosen, a kernel's input layout and
#    the operations fused into it; effective properties and peaks of the machine.
# 3: networks with biases and scales, which untrained ones lack: what was measured before is too fast.
SCHEMA_VERSION = 3

KERNEL_COLUMNS = tuple(field.name for field in fields(Kernel))
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE networks (
    id INTEGER PRIMARY KEY, architecture TEXT NOT NULL UNIQUE, macs INTEGER NOT NULL,
    chosen_as TEXT NOT NULL, prepare_s REAL NOT NULL, measured_at REAL NOT NULL
);
CREATE TABLE rounds (
    network INTEGER NOT NULL REFERENCES networks(id), process TEXT NOT NULL, position INTEGER NOT NULL,
    is_flagged INTEGER NOT NULL, place REAL NOT NULL, samples_us BLOB NOT NULL,
    before_us BLOB NOT NULL, after_us BLOB NOT NULL,
    PRIMARY KEY (network, process, position)
);
CREATE TABLE kernels (
    network INTEGER NOT NULL REFERENCES networks(id), position INTEGER NOT NULL, layer TEXT NOT NULL,
    name TEXT NOT NULL, exec_type TEXT NOT NULL, in_layout TEXT NOT NULL, layout TEXT NOT NULL,
    originals TEXT NOT NULL, counter_us REAL NOT NULL,
    {columns}, PRIMARY KEY (network, position)
);
"""


def create_file(path: Path, meta: dict[str, Any]) -> None:
    """Writes a new file with `meta` and no networks, whole or not at all."""
    with replacing(path) as (partial,):
        partial.unlink(missing_ok=True)  # of a process that was killed
        with _plain_errors(path, sqlite3.connect(partial)) as connection:
            columns = ", ".join(f"{name} NOT NULL" for name in KERNEL_COLUMNS)
            connection.executescript(_SCHEMA.format(columns=columns))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            rows = [(key, json.dumps(value)) for key, value in meta.items()]
            connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)
            connection.commit()


@contextmanager
def open_file(path: Path, *, is_written: bool) -> Iterator[sqlite3.Connection]:
    """A checked connection; only one that `is_written` changes anything, the journal's kind included.

    Raises OvnasError if the file is damaged, foreign or newer, or the disk is full.
    """
    connection = sqlite3.connect(path) if is_written else _read_only(path)
    with _plain_errors(path, connection):
        _check_format(connection, path)
        if is_written:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        yield connection


def _read_only(path: Path) -> sqlite3.Connection:
    """A connection that refuses to write.

    It is opened for writing all the same, for only then does SQLite clear its log away on closing. Where
    nothing may be written, it cannot open a file that has ever had such a log: that is read as it is, which
    is whole if no log is there.
    """
    address = path.absolute().as_uri()
    connection = sqlite3.connect(f"{address}?mode=rw", uri=True)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise OvnasError(
                f"{path} cannot be read where nothing may be written, for its last measurements are in "
                f"{log.name} still; copy both to another folder"
            ) from None
        return sqlite3.connect(f"{address}?immutable=1", uri=True)
    except sqlite3.DatabaseError:
        pass  # damage is said by whoever reads
    return connection


@contextmanager
def _plain_errors(path: Path, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Closes the connection; what goes wrong with the file is said in one line."""
    try:
        yield connection
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise OvnasError(f"the disk is full: free some space at {path.parent} and run again") from None
        if "unable to open" in str(error) or "readonly" in str(error):
            raise OvnasError(f"{path} cannot be written: allow it, or give another --runs-dir") from None
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
        raise OvnasError(
            f"{path} has schema {version}, but this version reads {SCHEMA_VERSION}; move it away and "
            "collect again"
        )
    if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
        raise OvnasError(f"{path} is damaged; move it away")
