"""What is known of one exported network, beside its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from supernet.checkpoint import write_json

__all__ = ["write_card"]


def write_card(value: dict[str, Any], conditions: dict[str, Any], folder: Path) -> None:
    """card.json: one finalist (or the baseline) of a search.json, and the conditions of its figures."""
    write_json({**conditions, **value}, folder / "card.json")
