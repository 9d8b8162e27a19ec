"""ovnas, third room: what any architecture would cost.

`predictor.load(path).predict(architectures)` gives latencies in microseconds, shape (n,).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from predictor.compiled import CompiledPredictor
    from predictor.network import Conditions, Network
    from predictor.saved import SavedPredictor, load

__all__ = ["CompiledPredictor", "Conditions", "Network", "SavedPredictor", "load"]

_HOME = {
    "CompiledPredictor": "compiled",
    "Conditions": "network",
    "Network": "network",
    "SavedPredictor": "saved",
    "load": "saved",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'predictor' has no attribute {name!r}")
    return getattr(importlib.import_module(f"predictor.{_HOME[name]}"), name)
