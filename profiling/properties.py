"""What OpenVINO really does for a target: the properties of a compiled model, read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import openvino as ov

__all__ = ["PROPERTIES", "effective_properties", "tiny_model"]

# What decides how a network runs. A release of OpenVINO that lacks one of them is asked for the others.
PROPERTIES = (
    "INFERENCE_NUM_THREADS", "NUM_STREAMS", "OPTIMAL_NUMBER_OF_INFER_REQUESTS", "PERFORMANCE_HINT",
    "PERFORMANCE_HINT_NUM_REQUESTS", "EXECUTION_MODE_HINT", "INFERENCE_PRECISION_HINT", "ENABLE_CPU_PINNING",
    "ENABLE_CPU_RESERVATION", "ENABLE_HYPER_THREADING", "SCHEDULING_CORE_TYPE", "CPU_DENORMALS_OPTIMIZATION",
    "TBB_PARTITIONER", "EXECUTION_DEVICES", "PERF_COUNT", "RUNTIME_REQUIREMENTS",
)  # fmt: skip

_SWITCHES = {"YES": True, "NO": False}


def effective_properties(compiled: ov.CompiledModel) -> dict[str, str | int | bool]:
    """The properties that a compiled model has, as JSON values, in the order of PROPERTIES."""
    supported = set(compiled.get_property("SUPPORTED_PROPERTIES"))
    return {name: _plain(compiled.get_property(name)) for name in PROPERTIES if name in supported}


def tiny_model() -> ov.Model:
    """The smallest network worth compiling: one operation."""
    import numpy as np
    import openvino as ov
    from openvino import opset13 as ops

    parameter = ops.parameter([1, 8], np.float32)
    return ov.Model([ops.relu(parameter)], [parameter], "tiny")


def _plain(value: Any) -> str | int | bool:
    if isinstance(value, (bool, int)):
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        return ",".join(str(_plain(item)) for item in value)
    if hasattr(value, "get_type_name"):  # a type of numbers
        return str(value.get_type_name())
    text = str(getattr(value, "name", value))  # an enumeration, or a text
    if text.isdigit():
        return int(text)
    return _SWITCHES.get(text, text)
