"""What is measured for, and how a model is compiled for it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    import openvino as ov

__all__ = ["Target", "compile_model", "core"]


class Target(TypedDict):
    """A way to run a network. `threads` are those of all streams; files keep it as JSON."""

    mode: Literal["latency", "throughput"]
    threads: int
    streams: int
    batch: int


@functools.cache
def core() -> ov.Core:
    """The process's one OpenVINO core."""
    import openvino as ov

    return ov.Core()


def compile_model(
    model: ov.Model, target: Target, *, counters: bool = False, pinned: bool | None = None
) -> ov.CompiledModel:
    """Compiles for the CPU with the target's threads and streams.

    Precision is fixed to f32 for what is not INT8: CPUs with bf16 units would otherwise use them, which
    Ice Lake has not. `counters` switches the per-kernel counters on; they are intrusive, so latencies
    come from a compile without them. `pinned` False lets threads move: every model of a process is
    pinned to the same first cores, so two that run at once must not be.
    """
    config: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": target["threads"],
        "NUM_STREAMS": target["streams"],
        "INFERENCE_PRECISION_HINT": "f32",
        "PERF_COUNT": counters,
    }
    if pinned is not None:
        config["ENABLE_CPU_PINNING"] = pinned
    return core().compile_model(model, "CPU", config)
