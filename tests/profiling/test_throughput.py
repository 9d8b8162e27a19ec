from __future__ import annotations

import numpy as np

from profiling.machine import allowed_threads
from profiling.target import compile_model
from profiling.throughput import ROUNDS, ThroughputTimer, interleave_throughput, throughput_target


class FakeTimer:
    def __init__(self, name: int, log: list[int]) -> None:
        self.name, self.log = name, log

    def run(self, seconds: float) -> float:
        self.log.append(self.name)
        return 100 * self.name + self.log.count(self.name)


def play(seed: int):
    log: list[int] = []
    timers = [FakeTimer(i, log) for i in range(4)]
    return interleave_throughput(timers, np.random.default_rng(seed)), log


def test_every_round_runs_everyone_once_in_random_order():
    found, log = play(0)
    expected = 100 * np.arange(4) + np.arange(1, ROUNDS + 1)[:, None]
    np.testing.assert_array_equal(found, expected)
    orders = [tuple(log[i : i + 4]) for i in range(0, len(log), 4)]
    assert len(orders) == ROUNDS
    assert len(set(orders)) > 1
    assert play(0)[1] == log != play(1)[1]


def test_the_target_keeps_all_cpus_busy(known):
    n = allowed_threads()
    assert throughput_target(known.target) == {
        **known.target,
        "mode": "throughput",
        "threads": n,
        "streams": n,
    }


def test_samples_a_second_of_a_compiled_network(tiny_graphs, known):
    compiled = compile_model(tiny_graphs.model(tiny_graphs.space.smallest), known.target)
    timer = ThroughputTimer(compiled, 1)
    assert timer.batch == 1
    assert timer.run(0.01) > 0
