"""Throughput: all streams busy, in interleaved rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiling.machine import allowed_threads

__all__ = ["ThroughputTimer", "interleave_throughput", "throughput_target"]

ROUNDS = 5
SECONDS = 0.4


def throughput_target(target: dict[str, Any]) -> dict[str, Any]:
    """The target with one stream for each CPU that this process may use."""
    n = allowed_threads()
    return {**target, "mode": "throughput", "threads": n, "streams": n}


class ThroughputTimer:
    """Keeps two requests a stream in flight, as in MLPerf's Offline scenario."""

    def __init__(self, compiled: Any, streams: int, *, seed: int = 0) -> None:
        import openvino as ov

        rng = np.random.default_rng(seed)
        self._inputs = {
            i: rng.standard_normal(tuple(port.shape)).astype(np.float32)
            for i, port in enumerate(compiled.inputs)
        }
        self.batch = int(compiled.inputs[0].shape[0])
        self.queue = ov.AsyncInferQueue(compiled, 2 * streams)
        self.run(0.05)

    def run(self, seconds: float) -> float:
        """Samples a second over about `seconds`."""
        n, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            self.queue.start_async(self._inputs, share_inputs=True)
            n += 1
        self.queue.wait_all()
        return n * self.batch / (time.perf_counter() - start)


def interleave_throughput(
    timers: Sequence[ThroughputTimer],
    rng: np.random.Generator,
    *,
    on_round: Callable[[], None] = lambda: None,
) -> NDArray[np.float64]:
    """Samples a second, shape (n_rounds, n_networks); each round in random order."""
    result = np.empty((ROUNDS, len(timers)))
    for row in result:
        for i in rng.permutation(len(timers)):
            row[i] = timers[i].run(SECONDS)
        on_round()
    return result
