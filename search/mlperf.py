"""Stands where the scenarios of MLPerf Inference come to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet.errors import OvnasError

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["measure_finalists"]


def measure_finalists(
    networks: Sequence[tuple[str, Path]],
    scenarios: Sequence[str],
    folder: Path,
    bar: Progress,
    *,
    is_quick: bool,
) -> list[dict[str, Any]]:
    """Each network in each scenario."""
    raise OvnasError("this version cannot run LoadGen; leave out --mlperf")
