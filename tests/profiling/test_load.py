from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest

from profiling.load import LoadedTimer, busy, level_of, make_timer, samples_per_s, under_load
from profiling.machine import default_threads, throughput_target
from profiling.target import compile_model
from profiling.timing import Timer, low


def loaded(seconds) -> LoadedTimer:
    """A timer whose streams take so long for an inference."""
    timer = LoadedTimer.__new__(LoadedTimer)
    timer._timers = [
        SimpleNamespace(request=SimpleNamespace(infer=lambda s=s: time.sleep(s)), per_round=lambda: 3)
        for s in seconds
    ]
    return timer


def test_samples_are_of_all_streams_while_all_are_busy():
    samples = loaded([0.01, 0.03]).run(6)
    fast, slow = samples[samples < 20e3], samples[samples >= 20e3]
    assert len(fast) >= 5
    assert 1 <= len(slow) <= 6
    assert (samples >= 9.9e3).all()
    assert samples.dtype == np.float32


def test_a_stream_that_fails_does_not_hang_the_others():
    timer = loaded([0.001, 0.001])

    def fail():
        raise RuntimeError("no inference")

    timer._timers[0].request.infer = fail
    with pytest.raises(RuntimeError, match="no inference"):
        timer.run(3)


def test_throughput_follows_from_the_time_an_inference_holds_its_stream(known):
    target = {**known.target, "mode": "throughput", "streams": 4, "threads": 4, "batch": 2}
    assert samples_per_s(1000.0, target) == pytest.approx(8000)
    assert busy(np.array([1, 2, 6], np.float32)) == pytest.approx(3)
    assert level_of(target) is busy
    assert level_of(known.target) is low


def test_the_target_of_throughput_keeps_all_physical_cores_busy(known):
    n = default_threads()
    expected = {"mode": "throughput", "threads": n, "streams": n, "batch": 1}
    assert throughput_target(known.target) == expected


def test_the_mode_decides_the_timer(tiny_graphs, known):
    model = tiny_graphs.model(tiny_graphs.space.smallest)
    target = {**known.target, "mode": "throughput", "streams": 1}
    timer = make_timer(compile_model(model, target), target)
    assert isinstance(timer, LoadedTimer)
    assert timer.per_round() >= 4
    assert len(timer.run(5)) == 5
    assert isinstance(make_timer(compile_model(model, known.target), known.target), Timer)


def test_work_runs_while_the_others_are_busy():
    counts = [0, 0]

    def timer(i):
        def infer():
            counts[i] += 1
            time.sleep(0.001)

        return SimpleNamespace(request=SimpleNamespace(infer=infer))

    def work():
        time.sleep(0.05)
        return tuple(counts)

    during = under_load(work, [timer(0), timer(1)])
    assert min(during) > 1
    after = tuple(counts)
    time.sleep(0.02)
    assert tuple(counts) == after
    assert under_load(lambda: 7, []) == 7
