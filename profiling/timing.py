"""End-to-end latency: networks resident together, many short interleaved rounds, an anchor in each.

A shared machine changes its speed by several per cent within seconds, and is disturbed now and then. So an
anchor, a fixed network, is timed at the start and at the end of every round. A network's estimate is the low
end of its rounds over the low end of the anchor's in the same rounds: what disturbs single rounds does not
count, and what slows the whole block cancels. benchmarks/repeatability.py holds it against other estimators
over the same samples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Level",
    "Round",
    "Samples",
    "Timer",
    "TimesInferences",
    "anchor_level",
    "interleave",
    "low",
    "ratio",
    "trusted",
]

Samples = NDArray[np.float32]
"""Latencies of single inferences in microseconds, in the order measured."""

Level = Callable[[Samples], float]
"""What one round's samples say of a network, in microseconds: see `low` and `profiling.load.busy`."""

# Within a round the low end is the network's own time; what is above it is interruptions.
QUANTILE = 0.10
# Over rounds likewise: those above it were disturbed as a whole.
ROUND_QUANTILE = 0.20
ROUNDS = 20
EXTRA_ROUNDS = 10
ROUND_SECONDS = 0.03
MIN_PER_ROUND, MAX_PER_ROUND = 3, 200
# How far the anchor may move within a round, and from its usual level over all rounds.
MOVED_WITHIN, MOVED_SINCE = 0.05, 0.08
RUNAWAY = 1.05
# Of many samples, so many of the slowest are single interruptions, which the low end does not see.
INTERRUPTIONS = 0.05


@dataclass(frozen=True)
class Round:
    """One network's samples in one round, and the anchor's at its start and end.

    `place` is where in the round the network was timed, from 0 (start) to 1 (end). `is_flagged` if the
    round cannot be trusted.
    """

    samples: Samples
    before: Samples
    after: Samples
    place: float
    is_flagged: bool

    def anchor_us(self, level: Level) -> float:
        """The anchor's latency at the network's place: between its start and its end."""
        return (1 - self.place) * level(self.before) + self.place * level(self.after)

    def ratio(self, level: Level) -> float:
        """The network's latency over the anchor's, in this round alone."""
        return level(self.samples) / self.anchor_us(level)


class TimesInferences(Protocol):
    """What `interleave` needs of a timer."""

    def run(self, n: int) -> Samples:
        """About `n` inferences (a stream), each timed."""

    def per_round(self) -> int:
        """Warms up; how many inferences make a round."""


class Timer:
    """Times single inferences of one compiled network, one after the other, on a fixed random input."""

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


@dataclass(frozen=True)
class _RawRound:
    """All samples of one round: the networks' with their places in it, and the anchor's two."""

    networks: tuple[Samples, ...]
    places: tuple[float, ...]
    before: Samples
    after: Samples


def low(samples: Samples) -> float:
    """The low end of one round's samples, in microseconds: latency without interruptions."""
    return float(np.quantile(samples, QUANTILE))


def interleave(
    timers: Sequence[TimesInferences],
    anchors: Sequence[TimesInferences],
    rng: np.random.Generator,
    *,
    level: Level = low,
    rounds: int = ROUNDS,
    on_round: Callable[[], None] = lambda: None,
) -> list[list[Round]]:
    """Measures all networks in `rounds` interleaved rounds, each in random order, the anchor first and
    last in each. `anchors` are compiled copies of the one anchor, which take turns: where in memory a copy
    lies makes a difference.

    A network's round is flagged if the anchor moved in it, or if its mean runs away from its median;
    as many rounds as are flagged for any network are measured again, up to EXTRA_ROUNDS. Returns the
    rounds of every network.
    """
    counts = [timer.per_round() for timer in timers]
    n_anchor = max(anchor.per_round() for anchor in anchors)
    raw: list[_RawRound] = []
    wanted = rounds
    while len(raw) < wanted:
        raw.append(_one_round(timers, counts, anchors[len(raw) % len(anchors)], n_anchor, rng))
        on_round()
        if len(raw) >= rounds:
            worst = int(flag_rounds(raw, level).sum(axis=0).max(initial=0))
            wanted = rounds + min(worst, EXTRA_ROUNDS)
    flags = flag_rounds(raw, level)
    return [
        [
            Round(r.networks[i], r.before, r.after, r.places[i], bool(flag[i]))
            for r, flag in zip(raw, flags, strict=True)
        ]
        for i in range(len(timers))
    ]


def _one_round(
    timers: Sequence[TimesInferences],
    counts: Sequence[int],
    anchor: TimesInferences,
    n_anchor: int,
    rng: np.random.Generator,
) -> _RawRound:
    clock = time.perf_counter
    found: dict[int, Samples] = {}
    middles: dict[int, float] = {}
    start = clock()
    before = anchor.run(n_anchor)
    first = (start + clock()) / 2
    for i in map(int, rng.permutation(len(timers))):
        start = clock()
        found[i] = timers[i].run(counts[i])
        middles[i] = (start + clock()) / 2
    start = clock()
    after = anchor.run(n_anchor)
    span = (start + clock()) / 2 - first
    order = range(len(timers))
    places = tuple((middles[i] - first) / span for i in order)
    return _RawRound(tuple(found[i] for i in order), places, before, after)


def flag_rounds(raw: Sequence[_RawRound], level: Level) -> NDArray[np.bool_]:
    """Which rounds cannot be trusted, shape (n_rounds, n_networks)."""
    ends = np.array([(level(r.before), level(r.after)) for r in raw])
    within = np.abs(ends[:, 1] / ends[:, 0] - 1) > MOVED_WITHIN
    since = np.abs(ends.mean(axis=1) / np.median(ends) - 1) > MOVED_SINCE
    runaway = [[_runs_away(samples) for samples in r.networks] for r in raw]
    return np.asarray(np.array(runaway, dtype=bool).reshape(len(raw), -1) | (within | since)[:, None])


def _runs_away(samples: Samples) -> bool:
    """Whether the mean is far above the median, single interruptions among many samples left out."""
    kept = np.sort(samples)[: len(samples) - int(INTERRUPTIONS * len(samples))]
    return float(kept.mean()) > RUNAWAY * float(np.median(kept))


def trusted(rounds: Sequence[Round]) -> list[Round]:
    """Those that are not flagged; all, if fewer than half are good."""
    good = [r for r in rounds if not r.is_flagged]
    return good if 2 * len(good) >= len(rounds) else list(rounds)


def ratio(rounds: Sequence[Round], level: Level = low) -> float:
    """Latency relative to the anchor's: the low end over the trusted rounds of the network and of the anchor.
    NaN without rounds, infinite where the anchor took no time."""
    chosen = trusted(rounds)
    if not chosen:
        return float("nan")
    own = [level(r.samples) for r in chosen]
    anchor = [level(samples) for r in chosen for samples in (r.before, r.after)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.quantile(own, ROUND_QUANTILE) / np.quantile(anchor, ROUND_QUANTILE))


def anchor_level(rounds: Sequence[Round], level: Level = low) -> float:
    """The anchor's latency in microseconds: the median of its levels over rounds."""
    return float(np.median([r.anchor_us(level) for r in rounds]))
