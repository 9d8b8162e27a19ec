"""Throughput mode: every stream is busy while each inference is timed, as in MLPerf's Offline scenario.

A thread a stream runs synchronous inferences one after the other, so the sample of an inference is the
time that it holds its stream: samples a second = 1e6 * streams * batch / latency_us.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from profiling.timing import Level, Samples, Timer, low

if TYPE_CHECKING:
    from profiling.target import Target

__all__ = ["LoadedTimer", "busy", "level_of", "make_timer", "samples_per_s", "under_load", "while_all_busy"]

T = TypeVar("T")
MIN_PER_ROUND = 4


class LoadedTimer:
    """Times the inferences of one compiled network while all its `streams` are busy."""

    def __init__(self, compiled: Any, streams: int, *, seed: int = 0) -> None:
        self._timers = [Timer(compiled, seed=seed + i) for i in range(streams)]

    def run(self, n: int) -> Samples:
        """About `n` inferences on each stream. Only those that ended while every stream was busy count."""
        done = threading.Event()
        gate = threading.Barrier(len(self._timers))

        def work(timer: Timer) -> list[int]:
            infer, clock = timer.request.infer, time.perf_counter_ns
            gate.wait()
            marks = [clock()]
            try:
                while not done.is_set() and len(marks) <= n:
                    infer()
                    marks.append(clock())
            finally:  # also where an inference fails: nobody waits for it
                done.set()
            return marks

        with ThreadPoolExecutor(len(self._timers)) as pool:
            return while_all_busy(list(pool.map(work, self._timers)))

    def per_round(self) -> int:
        """Warms up all streams; returns how many inferences of each make a round."""
        self.run(2)
        return max(MIN_PER_ROUND, self._timers[0].per_round())


def while_all_busy(marks_ns: Sequence[Sequence[int]]) -> Samples:
    """The inferences of all streams that ended before the first stream was done; `marks_ns` are the start of
    each stream and the ends of its inferences."""
    found = [np.array(marks) for marks in marks_ns]
    end = min(int(marks[-1]) for marks in found)
    samples = [np.diff(marks)[marks[1:] <= end] for marks in found]
    return (np.concatenate(samples) / 1e3).astype(np.float32)


def busy(samples: Samples) -> float:
    """The mean of one round's samples, in microseconds: what throughput is made of."""
    return float(np.mean(samples))


def level_of(target: Target) -> Level:
    """What a round's samples say in the target's mode."""
    return busy if target["mode"] == "throughput" else low


def make_timer(compiled: Any, target: Target) -> Timer | LoadedTimer:
    """The timer of the target's mode."""
    if target["mode"] == "throughput":
        return LoadedTimer(compiled, target["streams"])
    return Timer(compiled)


def samples_per_s(latency_us: float, target: Target) -> float:
    """Images a second with every stream busy."""
    return float(1e6 * target["streams"] * target["batch"] / latency_us)


def under_load(work: Callable[[], T], others: list[Timer]) -> T:
    """Runs `work` while each of `others` infers in a thread of its own, and returns what it returns."""
    done = threading.Event()

    def keep_busy(timer: Timer) -> None:
        while not done.is_set():
            timer.request.infer()

    threads = [threading.Thread(target=keep_busy, args=(timer,), daemon=True) for timer in others]
    for thread in threads:
        thread.start()
    try:
        return work()
    finally:
        done.set()
        for thread in threads:
            thread.join()
