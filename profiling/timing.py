"""End-to-end latency: networks resident together, interleaved rounds in random order, an anchor.

A busy neighbour shifts everything for seconds. Interleaving spreads that over all networks alike; the
anchor, the same network in every round, shows it; a round in which it moved is flagged and repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["QUANTILE", "Round", "Timer", "estimate", "interleave", "is_drifting"]

Samples = NDArray[np.float32]
"""Latencies of single inferences in microseconds, in the order measured."""

# The low quantile over all rounds repeats about four times better between processes than the median.
QUANTILE = 0.10
ROUNDS = 8
ROUND_SECONDS = 0.1
MIN_PER_ROUND, MAX_PER_ROUND = 5, 400
ANCHOR_TOLERANCE = 0.03
RUNAWAY = 1.05


@dataclass(frozen=True)
class Round:
    """One network's samples in one round; `is_flagged` if the round cannot be trusted."""

    samples: Samples
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
    extra_rounds: int = 4,
    on_round: Callable[[], None] = lambda: None,
) -> tuple[list[list[Round]], list[Samples]]:
    """Measures all networks in `rounds` interleaved rounds, each in random order, the anchor in each.

    A network's round is flagged if the anchor moved in it, or if its mean runs away from its median.
    While rounds are flagged, up to `extra_rounds` more are measured. Returns the rounds of every
    network and the anchor's samples a round.
    """
    everyone = [*timers, anchor]
    counts = [timer.per_round() for timer in everyone]
    raw: list[list[Samples]] = []
    wanted = rounds
    while len(raw) < wanted:
        order = rng.permutation(len(everyone))
        row: dict[int, Samples] = {int(i): everyone[i].run(counts[i]) for i in order}
        raw.append([row[i] for i in range(len(everyone))])
        on_round()
        if len(raw) == wanted and wanted < rounds + extra_rounds:
            flags = _flags(raw)
            wanted += int(flags.any(axis=1).sum() > len(raw) - rounds)
    flags = _flags(raw)
    result = [
        [Round(row[i], bool(flag[i])) for row, flag in zip(raw, flags, strict=True)]
        for i in range(len(timers))
    ]
    return result, [row[-1] for row in raw]


def is_drifting(anchor_rounds: Sequence[Samples]) -> NDArray[np.bool_]:
    """For each round, whether the anchor's low quantile is off its own median over rounds."""
    levels = np.array([np.quantile(samples, QUANTILE) for samples in anchor_rounds])
    return np.asarray(np.abs(levels / np.median(levels) - 1) > ANCHOR_TOLERANCE)


def _flags(raw: list[list[Samples]]) -> NDArray[np.bool_]:
    """Shape (n_rounds, n_networks)."""
    drifting = is_drifting([row[-1] for row in raw])
    runaway = np.array(
        [[float(s.mean()) > RUNAWAY * float(np.median(s)) for s in row[:-1]] for row in raw], dtype=bool
    ).reshape(len(raw), -1)
    return np.asarray(runaway | drifting[:, None])


def estimate(rounds: Sequence[Round]) -> float:
    """Latency in microseconds: the 10th percentile over the rounds that are not flagged (over all, if
    fewer than half are good). NaN without rounds."""
    good = [r.samples for r in rounds if not r.is_flagged]
    chosen = good if 2 * len(good) >= len(rounds) else [r.samples for r in rounds]
    return float(np.quantile(np.concatenate(chosen), QUANTILE)) if chosen else float("nan")
