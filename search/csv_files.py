"""candidates.csv and front.csv: what was evaluated, and the front of it."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from search.problem import Candidate
from supernet.replacing import replacing

__all__ = ["COLUMNS", "NOT_MEASURED", "write_candidates"]

COLUMNS = (
    "architecture", "quality", "predicted_latency_us", "macs", "n_parameters", "model_bytes", "round",
    "top1_validation",
)  # fmt: skip
NOT_MEASURED = "accuracy not measured"


def write_candidates(candidates: Iterable[Candidate], path: Path, *, is_accuracy: bool) -> None:
    """One line a candidate, in their order, whole or not at all. `quality` is the validation split's top-1,
    which stands in a column of its own too, or the declared stand-in. Latency is measured where the search
    had the benchmark in the loop; model_bytes is an estimate."""
    with replacing(path) as (partial,), partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for c in candidates:
            top1 = f"{c.quality:.6f}" if is_accuracy else NOT_MEASURED
            figures = (c.macs, c.n_parameters, c.model_bytes, c.round)
            writer.writerow((c.architecture, repr(c.quality), f"{c.latency_us:.3f}", *figures, top1))
