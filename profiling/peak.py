"""This machine's roof: the most that its cores compute and its memory carries, measured through OpenVINO.

Each figure is the best of several attempts with the target's threads on one inference: what a kernel of
a network could reach at most, for a roofline (Williams, Waterman & Patterson 2009).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from profiling.target import Target, compile_model

if TYPE_CHECKING:
    import openvino as ov

__all__ = ["Convolution", "chain", "executed_precisions", "measure_peak"]

SECONDS_EACH = 0.25
MIN_RUNS = 3
# Long enough for the first layer's reading of float pixels not to count.
LAYERS = 8
# Beyond the caches of almost all CPUs.
COPY_MIB = 128


@dataclass(frozen=True)
class Convolution:
    """One layer of a chain: as many output channels as input ones, stride 1, a square map."""

    channels: int
    size: int
    kernel: int

    def macs(self, batch: int) -> int:
        """Multiply-accumulates."""
        return batch * self.channels**2 * self.size**2 * self.kernel**2


# Compute-bound shapes of common networks; channels fill the tiles of every vector width.
_INT8 = (
    Convolution(256, 28, 1), Convolution(512, 14, 1), Convolution(64, 28, 3), Convolution(128, 14, 3),
    Convolution(256, 14, 3),
)  # fmt: skip
_F32 = (Convolution(256, 28, 1), Convolution(64, 28, 3), Convolution(128, 14, 3))


def measure_peak(target: Target) -> dict[str, float]:
    """`int8_gops` and `f32_gops` (10^9 operations a second, two a multiply-accumulate) and
    `bandwidth_gbs` (10^9 bytes a second, read and written), with the target's threads; takes a few seconds.

    `int8_gops` is 0 where this CPU executes no convolution in INT8. Hold the measuring lock.
    """
    return {
        "int8_gops": max(_gops(shape, target, is_int8=True) for shape in _INT8),
        "f32_gops": max(_gops(shape, target, is_int8=False) for shape in _F32),
        "bandwidth_gbs": _bandwidth_gbs(int(target["threads"])),
    }


def chain(shape: Convolution, batch: int, *, is_int8: bool, layers: int = LAYERS) -> ov.Model:
    """Convolutions with ReLU one after the other; in INT8 as NNCF writes them: u8 activations with one
    scale, i8 weights with one scale an output channel."""
    import numpy as np
    import openvino as ov
    from openvino import opset13 as ops

    rng = np.random.default_rng(0)
    pixels = ops.parameter([batch, shape.channels, shape.size, shape.size], np.float32)
    n, pad = shape.channels, shape.kernel // 2
    values = _activations(pixels) if is_int8 else pixels
    for _ in range(layers):
        raw = rng.integers(-127, 128, (n, n, shape.kernel, shape.kernel), dtype=np.int8)
        scale = np.full((n, 1, 1, 1), 1 / (64 * (n * shape.kernel**2) ** 0.5), np.float32)
        if is_int8:
            weights = ops.multiply(ops.convert(ops.constant(raw), np.float32), ops.constant(scale))
        else:
            weights = ops.constant(raw.astype(np.float32) * scale)
        values = ops.convolution(values, weights, [1, 1], [pad, pad], [pad, pad], [1, 1])
        values = ops.relu(values)
        if is_int8:
            values = _activations(values)
    return ov.Model([values], [pixels], "peak")


def _activations(values: Any) -> Any:
    """Quantised to u8 by one scale."""
    import numpy as np
    from openvino import opset13 as ops

    low, high = (ops.constant(np.array(v, np.float32)) for v in (0.0, 2.55))
    return ops.fake_quantize(values, low, high, low, high, 256)


def executed_precisions(compiled: ov.CompiledModel) -> list[str]:
    """The precision that each convolution is executed in, such as "I8": the end of its exec_type."""
    found = []
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        if info["layerType"].astype(str) == "Convolution":
            found.append(re.split("_", info["primitiveType"].astype(str))[-1])
    return found


def _gops(shape: Convolution, target: Target, *, is_int8: bool) -> float:
    """10^9 operations a second; 0 if it was not executed in the precision asked for."""
    import numpy as np
    import openvino as ov

    batch = int(target["threads"])  # work for every thread
    compiled = _compile(chain(shape, batch, is_int8=is_int8), target)
    if set(executed_precisions(compiled)) != {"I8" if is_int8 else "f32"}:
        return 0.0
    request = compiled.create_infer_request()
    tensor = ov.Tensor(np.ones((batch, shape.channels, shape.size, shape.size), np.float32))
    request.set_input_tensor(tensor)  # kept: the request only refers to it
    return 2e-9 * LAYERS * shape.macs(batch) / _best_s(request.infer)


def _bandwidth_gbs(threads: int) -> float:
    """By torch's copy, which goes past the caches; OpenVINO's own elementwise kernels reach less."""
    import numpy as np
    import torch

    # numpy asks for huge pages, torch does not: half of the speed in a virtual machine.
    source, to = (torch.from_numpy(np.ones(COPY_MIB * 2**18, np.float32)) for _ in range(2))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return 2e-9 * source.nbytes / _best_s(lambda: to.copy_(source))
    finally:
        torch.set_num_threads(before)


def _compile(model: ov.Model, target: Target) -> ov.CompiledModel:
    """All threads on one inference, whatever the target's streams."""
    return compile_model(model, {**target, "mode": "latency", "streams": 1})


def _best_s(run: Callable[[], object]) -> float:
    """The shortest of many runs, in seconds; the first one warms up."""
    run()
    best, n, start = float("inf"), 0, time.perf_counter()
    while n < MIN_RUNS or time.perf_counter() - start < SECONDS_EACH:
        before = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - before)
        n += 1
    return best
