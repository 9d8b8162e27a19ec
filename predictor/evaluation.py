"""How good each predictor is on architectures that it has not seen."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.base import KernelPredictor, LatencyPredictor
from predictor.compiled import CompiledPredictor
from predictor.dataset import Dataset
from predictor.metrics import accuracy_of

__all__ = ["Evaluation", "evaluate", "speed_of"]

Floats = NDArray[np.float64]
SPEED_SAMPLE = 200_000


@dataclass(frozen=True)
class Evaluation:
    """Predictions beside measurements. Latencies in microseconds: networks of shape (n_test,), kernels
    of all test networks one after the other, with their kinds."""

    name: str
    measured: Floats
    predicted: Floats
    kernel_measured: Floats
    kernel_predicted: Floats
    kernel_kinds: tuple[str, ...]
    architectures_per_s: float

    def to_json(self) -> dict[str, Any]:
        """The metrics of both levels."""
        return {
            "network": accuracy_of(self.measured, self.predicted),
            "kernel": accuracy_of(self.kernel_measured, self.kernel_predicted),
            "architectures_per_s": self.architectures_per_s,
        }


def evaluate(name: str, predictor: LatencyPredictor, data: Dataset) -> Evaluation:
    """Predicts the test networks from the plan alone, as a search does."""
    kernels = [k for e in data.test for k in e.record.kernels]
    by_kernel = np.full(len(kernels), np.nan)
    if isinstance(predictor, KernelPredictor):
        by_kernel = predictor.kernel_latency_us([k.kernel for k in kernels], data.conditions)
    plan = next(iter(data.plans.values()))
    return Evaluation(
        name=name,
        measured=data.latencies(data.test),
        predicted=predictor.predict([e.network for e in data.test]),
        kernel_measured=np.array([k.time_us for k in kernels]),
        kernel_predicted=by_kernel,
        kernel_kinds=tuple(k.kernel.kind for k in kernels),
        architectures_per_s=speed_of(CompiledPredictor(plan, predictor, data.conditions)),
    )


def speed_of(compiled: CompiledPredictor) -> float:
    """Architectures a second that the compiled predictor scores (it uses one thread)."""
    codes = compiled.space.sample_codes(SPEED_SAMPLE, np.random.default_rng(0))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        compiled.predict_codes(codes)
        seconds.append(time.perf_counter() - start)
    return len(codes) / min(seconds)
