"""What a predictor says of architectures that it has not seen, beside what was measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.base import KernelPredictor, LatencyPredictor
from predictor.compiled import CompiledPredictor
from predictor.conformal import by_study, half_width, out_of_fold
from predictor.dataset import Dataset
from predictor.registry import make_predictor
from predictor.unlike import out_of_place

__all__ = ["Evaluation", "IntervalOf", "around", "evaluate", "fit_and_evaluate", "speed_of"]

Floats = NDArray[np.float64]
# Of predictions and the studies that their networks belong to.
IntervalOf = Callable[[Floats, Sequence[str]], tuple[Floats, Floats]]

SPEED_SAMPLE = 200_000


@dataclass(frozen=True)
class Evaluation:
    """Predictions beside measurements, in microseconds.

    Networks are of shape (n_test,): `measured`, `predicted`, the ends `low` and `high` of the predictor's
    interval, and the `studies` that they belong to. The kernels of all test networks follow one after the
    other: measured and predicted times, the author's layers, kinds, and the network each belongs to.
    `kernel_predicted` is NaN for a predictor that does not know kernels. `overhead` is what it adds for an
    inference.
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
    studies: tuple[str, ...] = ()

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
    around predictions, given the networks' studies."""
    records = [e.record for e in data.test]
    kernels = [k for r in records for k in r.kernels]
    predicted = predictor.predict([e.network for e in data.test])
    studies = tuple(e.study for e in data.test)
    low, high = interval(predicted, studies)
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
        studies=studies,
    )


def fit_and_evaluate(
    name: str, data: Dataset, *, seed: int = 0, predictor: LatencyPredictor | None = None
) -> Evaluation:
    """Trains on the training networks, with intervals from each study's own out-of-fold residuals; for a
    study that nothing is learned from also from kernels held out. `predictor` is by default a new one of the
    registered kind `name`."""
    fitted = data.fit(make_predictor(name, seed=seed) if predictor is None else predictor, data.train)
    residuals = by_study(out_of_fold(fitted, data.train, seed=seed), data.train)
    unlike: dict[str, Floats] = {}
    if {e.study for e in data.test} - {e.study for e in data.train} and isinstance(fitted, KernelPredictor):
        found = out_of_place(fitted, data.train, seed=seed)
        unlike = by_study(found, data.train) if len(found) else {}
    return evaluate(name, fitted, data, around(residuals, unlike))


def around(residuals: Mapping[str, Floats], unlike: Mapping[str, Floats] | None = None) -> IntervalOf:
    """The intervals whose half-widths, on the logarithm, these residuals of each study give. For a study that
    nothing was learned from it is the widest of them and of `unlike`, the residuals of kernels held out (see
    `predictor.unlike`), which promises nothing."""
    widths = {study: half_width(own) for study, own in residuals.items()}
    widest = max([*widths.values(), *map(half_width, (unlike or {}).values())])

    def interval(latency: Floats, studies: Sequence[str]) -> tuple[Floats, Floats]:
        width = np.exp([widths.get(study, widest) for study in studies])
        return latency / width, latency * width

    return interval


def speed_of(compiled: CompiledPredictor) -> float:
    """Architectures a second that the compiled predictor scores (it uses one thread)."""
    codes = compiled.space.sample_codes(SPEED_SAMPLE, np.random.default_rng(0))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        compiled.predict_codes(codes)
        seconds.append(time.perf_counter() - start)
    return len(codes) / min(seconds)
