"""What a stored measurement says: latencies, and each kernel's share, derived from raw samples."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from profiling.fixed_costs import FixedCosts, fixed_costs, own_us
from profiling.kernel import Kernel
from profiling.timing import Level, Round, anchor_level, ratio
from supernet.architecture import Architecture

__all__ = ["KernelTime", "NetworkRecord", "RawNetwork", "Reason", "records_of"]

Reason = Literal["extreme", "filling", "unsure", "finalist"]
"""Why a network was measured: see `profiling.coverage`. A "finalist" is what a search built: a predictor
learns from it, but is not judged on it, for it was chosen by a predictor."""


@dataclass(frozen=True)
class KernelTime:
    """One executed kernel of one network. `layer` is the author's name of it, `originals` the operations
    fused into it. `counter_us` is what its counter says; `time_us` is its share of the network's clean
    end-to-end latency."""

    layer: str
    name: str
    exec_type: str
    in_layout: str
    layout: str
    originals: tuple[str, ...]
    kernel: Kernel
    counter_us: float
    time_us: float = float("nan")


@dataclass(frozen=True)
class RawNetwork:
    """One network as stored: the rounds of its first and of its second process, and its counters."""

    architecture: Architecture
    chosen_as: Reason
    macs: int
    prepare_s: float
    rounds: tuple[Round, ...]
    repeats: tuple[Round, ...]
    kernels: tuple[KernelTime, ...]

    @property
    def counters_us(self) -> float:
        """Sum of the counters, as read."""
        return sum(k.counter_us for k in self.kernels)


@dataclass(frozen=True)
class NetworkRecord:
    """One measured network. `repeat_us` is its latency in another process, NaN if not repeated.

    Latencies are ratios to the anchor, times the anchor's latency over all rounds of the file: drift
    of the machine's speed cancels. In throughput mode a latency is the time that an inference holds its
    stream while all streams are busy (see `profiling.load`).
    The latencies of `kernels` and `overhead_us` sum to `latency_us`. `unexplained_us` is what was left of
    it before the kernels were scaled: positive where the counters explain too little.
    """

    architecture: Architecture
    chosen_as: Reason
    macs: int
    latency_us: float
    repeat_us: float
    overhead_us: float
    unexplained_us: float
    n_flagged: int
    n_rounds: int
    prepare_s: float
    kernels: tuple[KernelTime, ...]

    @property
    def counters_us(self) -> float:
        """Sum of the uncorrected counters."""
        return sum(k.counter_us for k in self.kernels)


def records_of(
    networks: Sequence[RawNetwork],
    level: Level,
    overhead_us: float,
    held_out: Collection[Architecture] = (),
) -> list[NetworkRecord]:
    """The measurements' meaning, in their order; `overhead_us` is the latency of a trivial inference. Fixed
    costs are not learned from the networks `held_out`.

    Raises ValueError for a network whose numbers make no sense.
    """
    if not networks:
        return []
    reference_us = anchor_level([r for network in networks for r in network.rounds], level)
    latencies = np.array([reference_us * ratio(n.rounds, level) for n in networks])
    counters = np.array([n.counters_us for n in networks])
    for network, latency, total in zip(networks, latencies, counters, strict=True):
        if not (0 < latency < math.inf and 0 < total < math.inf):
            raise ValueError(
                f"{network.architecture} has a latency of {latency} us and counters of {total} us"
            )
    places = [i for i, network in enumerate(networks) if network.architecture not in held_out]
    costs = fixed_costs([networks[i] for i in places], latencies[places], overhead_us)
    return [
        _record(network, float(latency), reference_us * ratio(network.repeats, level), costs)
        for network, latency in zip(networks, latencies, strict=True)
    ]


def _record(network: RawNetwork, latency_us: float, repeat_us: float, costs: FixedCosts) -> NetworkRecord:
    overhead_us = min(costs.overhead_us, 0.5 * latency_us)
    own = own_us(np.array([k.counter_us for k in network.kernels]), costs.excess_us)
    scaled = own * (latency_us - overhead_us) / own.sum()
    return NetworkRecord(
        architecture=network.architecture,
        chosen_as=network.chosen_as,
        macs=network.macs,
        latency_us=latency_us,
        repeat_us=repeat_us,
        overhead_us=overhead_us,
        unexplained_us=latency_us - overhead_us - float(own.sum()),
        n_flagged=sum(r.is_flagged for r in network.rounds),
        n_rounds=len(network.rounds),
        prepare_s=network.prepare_s,
        kernels=tuple(replace(k, time_us=float(t)) for k, t in zip(network.kernels, scaled, strict=True)),
    )
