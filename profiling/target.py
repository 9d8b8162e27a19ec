"""How a model is compiled for a target."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import openvino as ov

__all__ = ["compile_model", "core"]


@functools.cache
def core() -> ov.Core:
    """The process's one OpenVINO core."""
    import openvino as ov

    return ov.Core()


def compile_model(model: ov.Model, target: dict[str, Any], *, counters: bool = False) -> ov.CompiledModel:
    """Compiles for the CPU with the target's threads and streams.

    Precision is fixed to f32 for what is not INT8: CPUs with bf16 units would otherwise use them, which
    Ice Lake has not. `counters` switches the per-kernel counters on; they are intrusive, so latencies
    come from a compile without them.
    """
    config = {
        "INFERENCE_NUM_THREADS": target["threads"],
        "NUM_STREAMS": target["streams"],
        "INFERENCE_PRECISION_HINT": "f32",
        "PERF_COUNT": counters,
    }
    return core().compile_model(model, "CPU", config)
