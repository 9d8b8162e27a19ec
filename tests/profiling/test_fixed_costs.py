from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from profiling.fixed_costs import MAX_EXCESS_US, FixedCosts, Sums, fixed_costs, own_us
from profiling.record import RawNetwork

SCALE = 50


def network(known, architecture, excess_us: float, busy: float = 1.0) -> RawNetwork:
    """Kernels SCALE times slower than the known law's; each counter says `excess_us` too much, and all of
    them `busy` times what they would on a machine at rest."""
    kernels = known.kernels(architecture)
    counted = tuple(
        replace(k, counter_us=busy * (SCALE * known.kernel_us(k.kernel) + excess_us)) for k in kernels
    )
    return RawNetwork(architecture, "filling", 1, 0.1, (), (), counted)


def latencies(known, networks, overhead_us: float) -> np.ndarray:
    return np.array(
        [overhead_us + sum(SCALE * known.kernel_us(k.kernel) for k in n.kernels) for n in networks]
    )


@pytest.mark.parametrize("excess_us", [0.0, 0.4, 1.2])
@pytest.mark.parametrize("overhead_us", [0.0, 20.0, 40.0])
def test_both_are_found_although_counters_were_read_on_a_busy_machine(known, rng, excess_us, overhead_us):
    """Each network's counters by another factor, which says nothing of the kernels' shares."""
    busy = rng.uniform(1.0, 1.8, 40)
    networks = [network(known, a, excess_us, b) for a, b in zip(known.architectures(40), busy, strict=True)]
    true = FixedCosts(overhead_us, excess_us)
    rest = [network(known, n.architecture, excess_us) for n in networks]
    found = fixed_costs(rest, latencies(known, rest, overhead_us), 40.0)
    assert found.overhead_us == pytest.approx(overhead_us, abs=0.5)
    assert found.excess_us == pytest.approx(excess_us, abs=0.05)
    sums = Sums(networks, latencies(known, networks, overhead_us))
    found = fixed_costs(networks, latencies(known, networks, overhead_us), 40.0)
    assert sums.left_out_error(found) <= sums.left_out_error(true)


def test_networks_with_little_in_common_are_taken_as_their_counters_say(known):
    architectures = known.architectures(9)
    few = [network(known, a, 0.5) for a in architectures]
    assert fixed_costs(few, latencies(known, few, 30.0), 30.0) == FixedCosts(
        30.0, pytest.approx(0.5, abs=1e-6)
    )
    none = [network(known, a, -2.0) for a in architectures]
    assert fixed_costs(none, latencies(known, none, 30.0), 30.0).excess_us == 0
    much = [network(known, a, 9.0) for a in architectures]
    assert fixed_costs(much, latencies(known, much, 30.0), 30.0).excess_us == MAX_EXCESS_US


def test_an_error_is_of_the_sums_without_the_network_itself(known):
    """By hand: two networks of one kernel each and the same, of 100 and 120 us."""
    one, other = (network(known, a, 0.0) for a in known.architectures(2))
    kernel = one.kernels[0]
    networks = [replace(n, kernels=(replace(kernel, counter_us=50.0),)) for n in (one, other)]
    sums = Sums(networks, np.array([100.0, 120.0]))
    assert sums.shared == 1
    assert sums.left_out_error(FixedCosts(0.0, 0.0)) == pytest.approx((20 / 100 + 20 / 120) / 2)
    assert sums.left_out_error(FixedCosts(60.0, 0.0)) == pytest.approx((20 / 100 + 20 / 120) / 2)


def test_no_kernel_is_free():
    assert own_us(np.array([1.0, 10.0]), 1.5) == pytest.approx([0.2, 8.5])
