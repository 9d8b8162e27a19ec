"""End-to-end latency: networks resident together, many short interleaved rounds, an anchor in each.

A shared machine changes its speed by several per cent within seconds, for all networks alike. So a
network's latency is taken relative to an anchor, a fixed network measured in the same short round, and
the median over rounds of that ratio is its estimate: drift cancels. benchmarks/repeatability.py holds it
against quantiles and means over the same samples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["QUANTILE", "ROUNDS", "Round", "Timer", "anchor_level", "interleave", "level", "ratio"]

Samples = NDArray[np.float32]
"""Latencies of single inferences in microseconds, in the order measured."""

# Within a round the low end is the network's own time; what is above it is interruptions.
QUANTILE = 0.10
ROUNDS = 24
EXTRA_ROUNDS = 8
ROUND_SECONDS = 0.03
MIN_PER_ROUND, MAX_PER_ROUND = 3, 100
ANCHOR_TOLERANCE = 0.10
RUNAWAY = 1.05


@dataclass(frozen=True)
class Round:
    """One network's samples in one round, and the anchor's in the same one; `is_flagged` if the round
    cannot be trusted."""

    samples: Samples
    anchor: Samples
    is_flagged: bool


class Timer:
    """Times single inferences of one compiled network, on a fixed random input."""

    def __init__(self, compiled: Any, *, seed: int = 0) -> None:
        import openvino as ov

        self.request = compiled.create_infer_request()
        rng = np.random.default_rng(seed)
        self._inputs = [  # kept: the request only refers to them
            ov.Tensor(rng.standard_normal(tuple(port.shape)).astype(np.float32)) for port in compiled.inputs
        ]
        for index, tensor in enumerate(self._inputs):
            self.request.set_input_tensor(index, tensor)

    def run(self, n: int) -> Samples:
        """`n` inferences, each timed, in microseconds."""
        infer, clock = self.request.infer, time.perf_counter_ns
        marks = np.empty(n + 1, dtype=np.int64)
        marks[0] = clock()
        for i in range(1, n + 1):
            infer()
            marks[i] = clock()
        return (np.diff(marks) / 1e3).astype(np.float32)

    def per_round(self) -> int:
        """Warms up; returns how many inferences make a round of ROUND_SECONDS."""
        self.run(2)
        typical_us = float(np.median(self.run(5)))
        return int(np.clip(ROUND_SECONDS * 1e6 / typical_us, MIN_PER_ROUND, MAX_PER_ROUND))


def interleave(
    timers: Sequence[Timer],
    anchor: Timer,
    rng: np.random.Generator,
    *,
    rounds: int = ROUNDS,
    on_round: Callable[[], None] = lambda: None,
) -> list[list[Round]]:
    """Measures all networks in `rounds` interleaved rounds, each in random order, the anchor in each.

    A network's round is flagged if the anchor moved in it, or if its mean runs away from its median;
    as many rounds as are flagged for any network are measured again, up to EXTRA_ROUNDS. Returns the
    rounds of every network.
    """
    everyone = [*timers, anchor]
    counts = [timer.per_round() for timer in everyone]
    raw: list[list[Samples]] = []
    wanted = rounds
    while len(raw) < wanted:
        row: dict[int, Samples] = {}
        for i in rng.permutation(len(everyone)):
            row[int(i)] = everyone[i].run(counts[i])
        raw.append([row[i] for i in range(len(everyone))])
        on_round()
        if len(raw) == wanted:
            worst = int(flag_rounds(raw).sum(axis=0).max(initial=0))
            wanted = rounds + min(worst, EXTRA_ROUNDS)
    flags = flag_rounds(raw)
    return [
        [Round(row[i], row[-1], bool(flag[i])) for row, flag in zip(raw, flags, strict=True)]
        for i in range(len(timers))
    ]


def flag_rounds(raw: Sequence[Sequence[Samples]]) -> NDArray[np.bool_]:
    """Which rounds cannot be trusted, shape (n_rounds, n_networks).

    `raw` holds the samples of each round's networks, the anchor's last.
    """
    anchors = np.array([level(row[-1]) for row in raw])
    moved = np.abs(anchors / np.median(anchors) - 1) > ANCHOR_TOLERANCE
    runaway = [[float(s.mean()) > RUNAWAY * float(np.median(s)) for s in row[:-1]] for row in raw]
    return np.asarray(np.array(runaway, dtype=bool).reshape(len(raw), -1) | moved[:, None])


def level(samples: Samples) -> float:
    """The low end of one round's samples, in microseconds."""
    return float(np.quantile(samples, QUANTILE))


def ratio(rounds: Sequence[Round]) -> float:
    """Latency relative to the anchor's: the median over the rounds that are not flagged (over all, if
    fewer than half are good). NaN without rounds."""
    good = [r for r in rounds if not r.is_flagged]
    chosen = good if 2 * len(good) >= len(rounds) else list(rounds)
    if not chosen:
        return float("nan")
    return float(np.median([level(r.samples) / level(r.anchor) for r in chosen]))


def anchor_level(rounds: Sequence[Round]) -> float:
    """The anchor's latency in microseconds: the median of its levels over rounds."""
    return float(np.median([level(r.anchor) for r in rounds]))
