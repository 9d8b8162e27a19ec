from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from profiling.record import RawNetwork, records_of
from profiling.timing import Round, low

SCALE = 50


def raw(known, architecture, excess_us: float) -> RawNetwork:
    """A network of kernels SCALE times slower than the known law's, each of whose counters says
    `excess_us` too much."""
    kernels = known.kernels(architecture)
    times = [SCALE * known.kernel_us(k.kernel) for k in kernels]
    counted = tuple(replace(k, counter_us=us + excess_us) for k, us in zip(kernels, times, strict=True))
    own, anchor = np.full(4, known.overhead_us + sum(times), np.float32), np.full(4, 1000, np.float32)
    rounds = (Round(own, anchor, anchor, 0.5, False),) * 5
    return RawNetwork(architecture, "filling", known.plan.space.macs(architecture), 0.1, rounds, (), counted)


@pytest.mark.parametrize("excess_us", [0.0, 0.4, 1.2])
def test_what_every_counter_says_too_much_is_taken_off(known, excess_us):
    """Networks with different numbers of kernels tell it from a common factor."""
    networks = [raw(known, a, excess_us) for a in known.architectures(30)]
    for record in records_of(networks, low, known.overhead_us):
        expected = [SCALE * known.kernel_us(k.kernel) for k in record.kernels]
        # A kernel far below that keeps a fifth of its counter.
        times = [k.time_us for k in record.kernels]
        assert times == pytest.approx(expected, rel=1e-3, abs=0.25 * excess_us)
        assert abs(record.unexplained_us) < 1e-3 * record.latency_us
        assert record.counters_us == pytest.approx(sum(expected) + excess_us * len(expected))


def test_kernels_sum_to_the_latency_whatever_the_counters_say(known):
    networks = [raw(known, a, 0.3 * (i % 5)) for i, a in enumerate(known.architectures(12))]
    for record in records_of(networks, low, known.overhead_us):
        assert sum(k.time_us for k in record.kernels) + record.overhead_us == pytest.approx(record.latency_us)
        explained = record.latency_us - record.overhead_us - record.unexplained_us
        assert 0 < explained <= record.counters_us


def test_no_networks_have_no_records():
    assert records_of([], low, 5.0) == []
