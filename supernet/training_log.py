"""The log of a training: a CSV file with a row an epoch, and TensorBoard's events where it is installed."""

from __future__ import annotations

import contextlib
import csv
import io
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


class TrainingLog:
    """Rows that stand in the file as soon as they are added; no path: nowhere."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self._events: Any = None

    def read(self) -> None:
        """Takes up the rows of an earlier file, if there is one."""
        if self.path is None or not self.path.is_file():
            return
        with self.path.open(encoding="utf-8", newline="") as file:
            rows = [
                Row(
                    row["phase"],
                    int(row["epoch"]),
                    float(row["loss"]),
                    float(row["learning_rate"]),
                    float(row["largest"]) if row["largest"] else None,
                    float(row["smallest"]) if row["smallest"] else None,
                    float(row["seconds"]),
                )
                for row in csv.DictReader(file)
            ]
        self.rows = [asdict(row) for row in rows]

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
