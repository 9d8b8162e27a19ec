"""LoadGen's figures of several networks, kept until all are there: they may take hours."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path
from typing import Any

from profiling.machine import describe_difference
from supernet.whole_files import read_json, write_json

__all__ = ["UnfinishedRows"]

Row = dict[str, Any]
MOST_S = 24 * 3600.0
_NAMES = re.compile(rb' names?="[^"]*"')


class UnfinishedRows:
    """Rows of a measurement that may be interrupted, each under what its model files hold.

    `plan` and `machine`, JSON values, are what they were measured under: rows of others are not taken up, nor
    those of another day, for a machine's speed drifts and they stand beside new ones.
    """

    def __init__(self, path: Path, plan: Any, machine: dict[str, Any]) -> None:
        self._path = path
        self._value: dict[str, Any] = {"plan": plan, "machine": machine, "rows": {}}
        kept = read_json(path)
        try:
            if kept["plan"] == plan and not describe_difference(kept["machine"], machine):
                self._value["rows"] = dict(kept["rows"])
        except (KeyError, TypeError, ValueError, AttributeError):
            pass  # none, or damaged

    def known(self, model: Path, scenario: str) -> Row | None:
        """What an interrupted start has measured of this very model."""
        try:
            kept = self._value["rows"][_key(model, scenario)]
            return dict(kept["row"]) if 0 <= time.time() - kept["at"] < MOST_S else None
        except (KeyError, TypeError, ValueError):
            return None

    def add(self, model: Path, scenario: str, row: Row) -> None:
        """On disk at once."""
        self._value["rows"][_key(model, scenario)] = {"at": time.time(), "row": row}
        write_json(self._value, self._path)

    def finish(self) -> None:
        """All are there: another start measures again."""
        self._path.unlink(missing_ok=True)


def _key(model: Path, scenario: str) -> str:
    """A digest of the model's files, but for names: OpenVINO numbers them by what else the process made."""
    digest = hashlib.sha256(scenario.encode())
    if model.is_file():
        digest.update(_NAMES.sub(b"", model.read_bytes()))
    weights = model.with_suffix(".bin")
    if weights.is_file():
        digest.update(weights.read_bytes())
    return digest.hexdigest()
