"""LoadGen's figures of several networks, kept until all are there: they may take hours."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from profiling.machine import describe_difference
from supernet.whole_files import read_json, write_json

__all__ = ["UnfinishedRows"]

Row = dict[str, Any]
_NAMES = re.compile(rb' names?="[^"]*"')


class UnfinishedRows:
    """Rows of a measurement that may be interrupted, each under what its model files hold.

    `plan` and `machine`, JSON values, are what they were measured under: rows of others are not taken up.
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
        row = self._value["rows"].get(_key(model, scenario))
        return row if isinstance(row, dict) else None

    def add(self, model: Path, scenario: str, row: Row) -> None:
        """On disk at once."""
        self._value["rows"][_key(model, scenario)] = row
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
