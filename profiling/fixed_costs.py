"""What an inference and each kernel's counter cost beside the kernels themselves, as networks tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls

if TYPE_CHECKING:
    from profiling.record import RawNetwork

__all__ = ["MAX_EXCESS_US", "FixedCosts", "Sums", "fixed_costs", "own_us"]

Floats = NDArray[np.float64]
# A counter's start and stop, and its cuts to whole microseconds, add up to no more than this.
MAX_EXCESS_US = 1.5
# Fewer networks, or fewer kernels that others have too, say nothing of each other.
MIN_NETWORKS = 12
MIN_SHARED = 0.5
# Where the search for both starts: parts of the most that each may be.
PLACES = np.linspace(0, 1, 7)


@dataclass(frozen=True)
class FixedCosts:
    """`overhead_us` of an inference, and the `excess_us` that one kernel's counter says too much."""

    overhead_us: float
    excess_us: float


def fixed_costs(networks: Sequence[RawNetwork], latency_us: Floats, measured_us: float) -> FixedCosts:
    """Both at once, so that kernels as other networks have them sum to a network's latency best: the least
    mean relative error, each network left out in turn. Counters alone do not tell what they say too much from
    what a busy machine adds to them, and `measured_us`, the cost of a trivial inference, is the most that an
    inference costs, not what it costs within a network. Latencies of shape (n_networks,).

    Too few networks with too little in common give that measured cost, and the excess that fits the counters.
    """
    sums = Sums(networks, latency_us)
    if len(networks) < MIN_NETWORKS or sums.shared < MIN_SHARED:
        return FixedCosts(measured_us, _counted_excess_us(networks, latency_us, measured_us))
    most = np.array([min(measured_us, 0.5 * float(latency_us.min())), MAX_EXCESS_US])

    def error(place: Floats) -> float:
        return sums.left_out_error(FixedCosts(*map(float, place * most)))

    start = min(((x, y) for x in PLACES for y in PLACES), key=lambda place: error(np.array(place)))
    found = minimize(error, start, method="Nelder-Mead", bounds=[(0, 1)] * 2, options={"xatol": 1e-4})
    return FixedCosts(*map(float, found.x * most))


def own_us(counters_us: Floats, excess_us: float) -> Floats:
    """What is a kernel's own of its counter. No kernel is free: at least a fifth."""
    return np.maximum(counters_us - excess_us, 0.2 * counters_us)


class Sums:
    """The kernels of all networks, each known by its shape."""

    def __init__(self, networks: Sequence[RawNetwork], latency_us: Floats) -> None:
        known = {kernel: i for i, kernel in enumerate({k.kernel: 0 for n in networks for k in n.kernels})}
        self._latency_us = latency_us
        self._kernel = np.array([known[k.kernel] for n in networks for k in n.kernels], dtype=np.int64)
        self._network = np.repeat(np.arange(len(networks)), [len(n.kernels) for n in networks])
        self._counters_us = np.array([k.counter_us for n in networks for k in n.kernels])
        _, self._pair = np.unique(self._network * len(known) + self._kernel, return_inverse=True)
        self._in_pair = np.bincount(self._pair)[self._pair]
        self._others = np.bincount(self._kernel)[self._kernel] - self._in_pair

    @property
    def shared(self) -> float:
        """The share of kernels that another network has too."""
        return float(np.mean(self._others > 0))

    def left_out_error(self, costs: FixedCosts) -> float:
        """Mean relative error of latencies that are summed from what the same kernels take in other networks;
        a kernel of no other network counts as it is."""
        own = own_us(self._counters_us, costs.excess_us)
        kernels_us = self._latency_us - costs.overhead_us
        times = own * (kernels_us / np.bincount(self._network, own))[self._network]
        elsewhere = (
            np.bincount(self._kernel, times)[self._kernel] - np.bincount(self._pair, times)[self._pair]
        )
        expected = np.where(self._others > 0, elsewhere / np.maximum(self._others, 1), times)
        sums = costs.overhead_us + np.bincount(self._network, expected)
        return float(np.mean(np.abs(sums / self._latency_us - 1)))


def _counted_excess_us(networks: Sequence[RawNetwork], latency_us: Floats, overhead_us: float) -> float:
    """By non-negative relative least squares of counters = scale * time + excess * kernels."""
    times_us = latency_us - np.minimum(overhead_us, 0.5 * latency_us)
    n_kernels = np.array([len(n.kernels) for n in networks])
    design = np.stack([np.ones_like(times_us), n_kernels / times_us], axis=1)
    (_, excess), _ = nnls(design, np.array([n.counters_us for n in networks]) / times_us)
    return float(min(excess, MAX_EXCESS_US))
