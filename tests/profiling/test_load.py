from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from profiling.load import LoadedTimer, busy, level_of, make_timer, samples_per_s, under_load, while_all_busy
from profiling.machine import default_threads, throughput_target
from profiling.target import compile_model
from profiling.timing import Timer, low


def loaded(*infer: Callable[[], None]) -> LoadedTimer:
    """A timer whose streams run these in place of inferences."""
    timer = LoadedTimer.__new__(LoadedTimer)
    timer._timers = [
        SimpleNamespace(request=SimpleNamespace(infer=own), per_round=lambda: 3) for own in infer
    ]
    return timer


def test_only_what_ended_while_all_were_busy_counts():
    fast, slow = [0, 1000, 2000, 3000, 4000], [500, 3500, 6500]
    samples = while_all_busy([fast, slow])
    assert samples.tolist() == [1, 1, 1, 1, 3]
    assert samples.dtype == np.float32
    assert while_all_busy([fast]).tolist() == [1] * 4


def test_every_stream_infers_until_the_first_is_done():
    counts, both = [0, 0], threading.Barrier(2, timeout=60)

    def infer(i: int) -> None:
        both.wait()  # in step: none can be done before the other has begun its last
        counts[i] += 1

    samples = loaded(lambda: infer(0), lambda: infer(1)).run(1)
    assert counts == [1, 1]
    assert 1 <= len(samples) <= 2
    assert (samples > 0).all()


def test_a_stream_that_fails_does_not_hang_the_others():
    begun = threading.Event()

    def fail() -> None:
        begun.set()
        raise RuntimeError("no inference")

    with pytest.raises(RuntimeError, match="no inference"):
        loaded(fail, lambda: begun.wait(60)).run(3)


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
    seen = [threading.Event(), threading.Event()]
    before = threading.active_count()

    def work() -> int:
        for event in seen:
            event.clear()  # what was before does not count
        assert all(event.wait(60) for event in seen)
        return threading.active_count()

    timers = [SimpleNamespace(request=SimpleNamespace(infer=event.set)) for event in seen]
    assert under_load(work, timers) == before + 2
    assert threading.active_count() == before
    assert under_load(lambda: 7, []) == 7
