"""What was evaluated, on disk: a search that was killed goes on from here."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from supernet.errors import OvnasError

__all__ = ["Evaluations"]

Kind = Literal["accuracy", "latency"]
_SCHEMA = {
    "accuracy": "CREATE TABLE IF NOT EXISTS accuracy (supernet TEXT, architecture TEXT, top1 REAL, "
    "PRIMARY KEY (supernet, architecture))",
    "latency": "CREATE TABLE IF NOT EXISTS latency (conditions TEXT, architecture TEXT, latency_us REAL, "
    "PRIMARY KEY (conditions, architecture))",
}
_COLUMNS = {"accuracy": ("supernet", "top1"), "latency": ("conditions", "latency_us")}


class Evaluations:
    """Accuracies and latencies by architecture, each under a key that says what it holds for. One
    transaction a value."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file. Raises OvnasError if it is something else."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._explained():
            self._db = sqlite3.connect(path)
            for statement in _SCHEMA.values():
                self._db.execute(statement)

    def get(self, kind: Kind, key: str, architecture: str) -> float | None:
        """The value kept, None if there is none."""
        conditions, value = _COLUMNS[kind]
        with self._explained():
            row = self._db.execute(
                f"SELECT {value} FROM {kind} WHERE {conditions} = ? AND architecture = ?",
                (key, architecture),
            ).fetchone()
        return None if row is None else float(row[0])

    def put(self, kind: Kind, key: str, architecture: str, value: float) -> None:
        """Keeps a value, in place of an earlier one."""
        with self._explained(), self._db as db:
            db.execute(f"INSERT OR REPLACE INTO {kind} VALUES (?, ?, ?)", (key, architecture, value))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if "full" in str(error):
                place = self.path.parent
                raise OvnasError(f"the disk is full: free some space at {place} and run again") from None
            if "locked" in str(error):
                raise OvnasError(
                    f"{self.path} is in use by another search; wait until it ends, or take another --runs-dir"
                ) from None
            if "readonly" in str(error):
                raise OvnasError(f"{self.path} may not be written; mend its rights") from None
            raise OvnasError(f"{self.path} is damaged, or no ovnas file: {error}; move it away") from None
