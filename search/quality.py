"""What a search maximises beside speed: accuracy really evaluated, or a declared stand-in."""

from __future__ import annotations

import hashlib
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from supernet.architecture import Architecture
from supernet.errors import OvnasError
from supernet.space import Space

if TYPE_CHECKING:
    from torch import Tensor

    from supernet.data import Splits
    from supernet.elastic import ElasticNetwork

__all__ = ["Macs", "Quality", "ValidationAccuracy"]


class Quality(ABC):
    """Higher is better. `is_accuracy` is False for a stand-in, which reports must declare."""

    name: str
    is_accuracy: bool

    @abstractmethod
    def of(self, architecture: Architecture) -> float:
        """The quality of one architecture."""


class Macs(Quality):
    """Multiply-accumulates, for a study without data."""

    name = "million MACs (stand-in: accuracy not measured)"
    is_accuracy = False

    def __init__(self, space: Space) -> None:
        self.space = space

    def of(self, architecture: Architecture) -> float:
        return self.space.macs(architecture) / 1e6


class ValidationAccuracy(Quality):
    """Top-1 on the validation split with BatchNorm re-estimated on `samples`, as a fraction.

    Kept in a SQLite file under the super-network's hash: an architecture is evaluated once.
    """

    name = "validation top-1"
    is_accuracy = True

    def __init__(
        self, network: ElasticNetwork, splits: Splits, samples: Tensor, weights: Path, cache: Path
    ) -> None:
        self.network, self.splits, self.samples = network, splits, samples
        self._key = hashlib.sha256(weights.read_bytes()).hexdigest()[:16] + f"-{len(samples)}"
        self._cache = cache
        cache.parent.mkdir(parents=True, exist_ok=True)
        with self._explained():
            self._db = sqlite3.connect(cache)
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS accuracy (supernet TEXT, architecture TEXT, top1 REAL, "
                "PRIMARY KEY (supernet, architecture))"
            )

    def of(self, architecture: Architecture) -> float:
        from supernet.batchnorm import reestimate
        from supernet.training import accuracy

        with self._explained():
            row = self._db.execute(
                "SELECT top1 FROM accuracy WHERE supernet = ? AND architecture = ?",
                (self._key, str(architecture)),
            ).fetchone()
        if row is not None:
            return float(row[0])
        module = self.network.extract(architecture)
        reestimate(module, self.samples)
        top1 = accuracy(module, self.splits.validation)
        with self._explained(), self._db as db:
            db.execute(
                "INSERT OR REPLACE INTO accuracy VALUES (?, ?, ?)", (self._key, str(architecture), top1)
            )
        return top1

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if "full" in str(error):
                place = self._cache.parent
                raise OvnasError(f"the disk is full: free some space at {place} and run again") from None
            raise OvnasError(f"{self._cache} is damaged, or no ovnas file: {error}; move it away") from None
