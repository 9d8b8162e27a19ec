"""What a predictor says of architectures that it has not seen, beside what was measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.base import KernelPredictor, LatencyPredictor
from predictor.compiled import CompiledPredictor
from predictor.conformal import half_width, out_of_fold, representative
from predictor.dataset import Dataset
from predictor.registry import make_predictor

__all__ = ["Evaluation", "evaluate", "fit_and_evaluate", "speed_of"]

Floats = NDArray[np.float64]
IntervalOf = Callable[[Floats], tuple[Floats, Floats]]

SPEED_SAMPLE = 200_000


@dataclass(frozen=True)
class Evaluation:
    """Predictions beside measurements, in microseconds.

    Networks are of shape (n_test,): `measured`, `predicted`, and the ends `low` and `high` of the
    predictor's interval. The kernels of all test networks follow one after the other: measured and
    predicted times, the author's layers, kinds, and the network each belongs to. `kernel_predicted` is
    NaN for a predictor that does not know kernels. `overhead` is what it adds for an inference.
    """

    name: str
    measured: Floats
    predicted: Floats
    low: Floats
    high: Floats
    kernel_measured: Floats
    kernel_predicted: Floats
    kernel_layers: tuple[str, ...]
    kernel_kinds: tuple[str, ...]
    kernel_networks: NDArray[np.int64]
    overhead: float
    architectures_per_s: float

    @property
    def error(self) -> Floats:
        """Relative, with its sign: shape (n_test,)."""
        return self.predicted / self.measured - 1

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Whether the interval holds the measurement, shape (n_test,)."""
        return (self.low <= self.measured) & (self.measured <= self.high)

    @property
    def width(self) -> Floats:
        """Of the interval, as a fraction of the prediction: shape (n_test,)."""
        return (self.high - self.low) / self.predicted

    @property
    def knows_kernels(self) -> bool:
        """Whether it predicts each kernel."""
        return not np.isnan(self.kernel_predicted).any()


def evaluate(name: str, predictor: LatencyPredictor, data: Dataset, interval: IntervalOf) -> Evaluation:
    """Predicts the test networks from the plan alone, as a search does. `interval` gives both ends
    around predictions."""
    records = [e.record for e in data.test]
    kernels = [k for r in records for k in r.kernels]
    predicted = predictor.predict([e.network for e in data.test])
    low, high = interval(predicted)
    by_kernel, overhead = np.full(len(kernels), np.nan), float("nan")
    if isinstance(predictor, KernelPredictor):
        by_kernel = predictor.kernel_latency_us([k.kernel for k in kernels], data.conditions)
        overhead = predictor.overhead_us_
    plan = next(iter(data.plans.values()))
    return Evaluation(
        name=name,
        measured=data.latencies(data.test),
        predicted=predicted,
        low=low,
        high=high,
        kernel_measured=np.array([k.time_us for k in kernels]),
        kernel_predicted=by_kernel,
        kernel_layers=tuple(k.layer for k in kernels),
        kernel_kinds=tuple(k.kernel.kind for k in kernels),
        kernel_networks=np.repeat(np.arange(len(records)), [len(r.kernels) for r in records]),
        overhead=overhead,
        architectures_per_s=speed_of(CompiledPredictor(plan, predictor, data.conditions)),
    )


def fit_and_evaluate(kind: str, data: Dataset, *, seed: int = 0) -> Evaluation:
    """Trains a registered kind on the training networks, with an interval from out-of-fold residuals."""
    predictor = data.fit(make_predictor(kind, seed=seed), data.train)
    residuals = representative(out_of_fold(predictor, data.train, seed=seed), data.train)
    return evaluate(kind, predictor, data, around(residuals))


def around(residuals: Floats) -> IntervalOf:
    """The interval whose half-width, on the logarithm, these residuals give."""
    width = np.exp(half_width(residuals))
    return lambda latency: (latency / width, latency * width)


def speed_of(compiled: CompiledPredictor) -> float:
    """Architectures a second that the compiled predictor scores (it uses one thread)."""
    codes = compiled.space.sample_codes(SPEED_SAMPLE, np.random.default_rng(0))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        compiled.predict_codes(codes)
        seconds.append(time.perf_counter() - start)
    return len(codes) / min(seconds)
