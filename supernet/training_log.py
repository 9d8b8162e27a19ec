"""The log of a training: a CSV file with a row an epoch, and TensorBoard's events where it is installed."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from supernet.replacing import replacing

__all__ = ["Row", "TrainingLog"]


@dataclass(frozen=True)
class Row:
    """One epoch. `largest` and `smallest`: accuracies on some of the validation images, if judged."""

    phase: str
    epoch: int
    loss: float
    learning_rate: float
    largest: float | None
    smallest: float | None
    seconds: float

    def __str__(self) -> str:
        accuracies = {"largest": self.largest, "smallest": self.smallest}
        text = "".join(f", {name} {value:.2%}" for name, value in accuracies.items() if value is not None)
        return f"loss {self.loss:.3f}{text}"


def _row_of(text: dict[str, str]) -> Row:
    largest, smallest = (float(text[name]) if text[name] else None for name in ("largest", "smallest"))
    loss, rate, seconds = (float(text[name]) for name in ("loss", "learning_rate", "seconds"))
    return Row(text["phase"], int(text["epoch"]), loss, rate, largest, smallest, seconds)


class TrainingLog:
    """Rows that stand in the file as soon as they are added; no path: nowhere."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self._events: Any = None

    def read(self, n_stages: int) -> None:
        """Takes up the rows of an earlier file up to that stage; none where it cannot be read."""
        if self.path is None or not self.path.is_file():
            return
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                rows = [_row_of(text) for text in csv.DictReader(file)]
        except (OSError, ValueError, KeyError, TypeError):
            return
        number = re.compile(r"stage (\d+) ")
        stages = [number.match(row.phase) for row in rows]
        self.rows = [
            asdict(row)
            for row, stage in zip(rows, stages, strict=True)
            if stage is None or int(stage[1]) <= n_stages
        ]

    def add(self, row: Row) -> None:
        """Adds a row to the files."""
        self.rows.append(asdict(row))
        if self.path is None:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, [f.name for f in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        with replacing(self.path) as (partial,):
            partial.write_text(text.getvalue(), encoding="utf-8")
        self._write_events(row)

    def _write_events(self, row: Row) -> None:
        assert self.path is not None
        if self._events is None:
            with contextlib.suppress(ImportError):
                from torch.utils.tensorboard import SummaryWriter

                self._events = SummaryWriter(str(self.path.with_suffix("")))
        if self._events:
            for name in ("loss", "learning_rate", "largest", "smallest"):
                value = getattr(row, name)
                if value is not None:
                    self._events.add_scalar(f"{row.phase}/{name}", value, row.epoch)
            self._events.flush()
