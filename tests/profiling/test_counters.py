from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from profiling.counters import MAX_INFERENCES, MIN_INFERENCES, read_counters, slope_us


def counter(durations) -> list[int]:
    """OpenVINO's counter after each inference: whole microseconds are added, their mean is cut when read."""
    added = np.cumsum(np.floor(durations).astype(int))
    return [int(total // n) for n, total in enumerate(added, 1)]


def durations_of(true_us: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """A kernel that jitters by half a microsecond or 3 %, after a cold first inference."""
    durations = np.maximum(0.1, rng.normal(true_us, max(0.5, 0.03 * true_us), n))
    durations[0] = 10 * true_us + 40
    return durations


def test_the_slope_recovers_the_time_of_an_inference():
    rng = np.random.default_rng(0)
    errors, naive = [], []
    for true_us in rng.uniform(1, 80, 400):
        durations = durations_of(true_us, MAX_INFERENCES, rng)
        readings = counter(durations)
        errors.append(slope_us(readings) - durations[1:].mean())
        naive.append(readings[-1] - durations[1:].mean())
    assert abs(np.mean(errors)) < 0.03
    assert np.mean(np.abs(errors)) < 0.15
    assert np.quantile(np.abs(errors), 0.9) < 0.3
    assert np.mean(np.abs(naive)) > 3  # the cold inference is in the counter itself


@pytest.mark.parametrize("cold_us", [5, 100, 5000])
def test_the_cold_inference_does_not_matter(cold_us):
    rng = np.random.default_rng(1)
    errors = []
    for true_us in rng.uniform(2, 20, 100):
        durations = durations_of(true_us, MAX_INFERENCES, rng)
        durations[0] = cold_us
        errors.append(slope_us(counter(durations)) - durations[1:].mean())
    assert abs(np.mean(errors)) < 0.1


def test_a_kernel_below_a_microsecond_counts_half_of_one():
    assert slope_us([0] * 20) == 0.5
    assert slope_us(counter(np.full(60, 0.4))) == 0.5
    assert slope_us([9, 4, 3, 2, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]) >= 0.5


def test_two_readings_are_the_mean_of_both_cuts():
    assert slope_us([12, 11]) == 12.0


class FakeTimer:
    """A compiled model of two kernels; `cost_us` is the time of an inference."""

    def __init__(self, cost_us: float) -> None:
        rng = np.random.default_rng(2)
        self.cost_us, self.n = cost_us, 0
        self.truth = {"conv": durations_of(31.3, 100, rng), "relu": durations_of(4.6, 100, rng)}
        self.request = SimpleNamespace(get_profiling_info=self.profiling_info)

    def run(self, n: int) -> np.ndarray:
        self.n += n
        return np.full(n, self.cost_us, np.float32)

    def profiling_info(self) -> list[SimpleNamespace]:
        values = {name: counter(d[: self.n])[-1] for name, d in self.truth.items()}
        rows = [SimpleNamespace(node_name=n, exec_type="jit", real_time=micros(v)) for n, v in values.items()]
        return [*rows, SimpleNamespace(node_name="constant", exec_type="undef", real_time=micros(7))]


def micros(value: int) -> timedelta:
    return timedelta(microseconds=value)


@pytest.mark.parametrize(
    ("cost_us", "n"), [(1, MAX_INFERENCES), (5000, 30), (200_000, MIN_INFERENCES), (9e9, MIN_INFERENCES)]
)
def test_slow_networks_run_less_often_within_bounds(cost_us, n):
    timer = FakeTimer(cost_us)
    found = read_counters(timer).times_us
    assert timer.n == n
    assert set(found) == {"conv", "relu"}


def test_every_executed_kernel_gets_its_time():
    timer = FakeTimer(100)
    found = read_counters(timer).times_us
    for name, durations in timer.truth.items():
        assert found[name] == pytest.approx(durations[1 : timer.n].mean(), abs=0.5)


@pytest.mark.parametrize(("interruption_us", "is_calm"), [(0, True), (100, True), (5000, False)])
def test_counters_of_interrupted_inferences_are_noticed(interruption_us, is_calm):
    timer = FakeTimer(100)
    run = timer.run

    def interrupted(n):
        return run(n) + interruption_us * (timer.n == 9)

    timer.run = interrupted
    assert read_counters(timer).is_calm == is_calm
