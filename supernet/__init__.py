"""ovnas, first room: what could be built.

`net = supernet.generate(model, example_input)` makes any traceable CNN a super-network; see README.
Names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supernet.architecture import Architecture
    from supernet.elastic import ElasticNetwork
    from supernet.errors import OvnasError
    from supernet.generation import generate
    from supernet.int8 import quantize, to_openvino
    from supernet.space import Space
    from supernet.study import SpaceSection, Study

__all__ = [
    "Architecture",
    "ElasticNetwork",
    "OvnasError",
    "Space",
    "SpaceSection",
    "Study",
    "generate",
    "quantize",
    "to_openvino",
]

_HOME = {
    "Architecture": "architecture",
    "ElasticNetwork": "elastic",
    "OvnasError": "errors",
    "Space": "space",
    "SpaceSection": "study",
    "Study": "study",
    "generate": "generation",
    "quantize": "int8",
    "to_openvino": "int8",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'supernet' has no attribute {name!r}")
    return getattr(importlib.import_module(f"supernet.{_HOME[name]}"), name)
