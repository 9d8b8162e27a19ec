"""Networks beside a baseline: several copies of each, compiled one after the other, in interleaved rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from search.speedup import Draws, Ratio

if TYPE_CHECKING:
    import numpy as np
    import openvino as ov

    from profiling.load import LoadedTimer
    from profiling.target import Target
    from profiling.timing import Round, Timer

__all__ = ["COPIES", "ROUNDS", "compare"]

# Copies of each network, and rounds of each copy. Where a copy lies in memory counts for more than its rounds
# do, and an interval needs several to see it.
COPIES, ROUNDS = 6, 6


def compare(
    baseline: ov.Model,
    models: Sequence[ov.Model],
    target: Target,
    rng: np.random.Generator,
    on_round: Callable[[], None] = lambda: None,
    *,
    copies: int = COPIES,
    rounds: int = ROUNDS,
    advice: str = "free some, or compare fewer: --finalists",
) -> tuple[float, list[Ratio]]:
    """The anchor's latency in microseconds, and the ratios to it of the baseline and of each of `models`.

    The anchor is the baseline too, but of several copies at once, of which the fastest counts most; what is
    compared with a network is therefore the baseline as one network among them. Raises OvnasError where
    memory has no room for all of them at once.
    """
    from profiling.load import level_of, make_timer
    from profiling.memory import available_bytes, growth_bytes, release_freed_memory, require_room
    from profiling.preparation import ANCHORS
    from profiling.target import compile_model
    from profiling.timing import anchor_level, interleave

    level = level_of(target)
    if models:
        made, each_bytes = growth_bytes(lambda: _warm(make_timer(compile_model(baseline, target), target)))
        del made
        n = 1 + len(models) + ANCHORS
        require_room(n, each_bytes, available_bytes(), advice)
    found: list[list[list[Round]]] = []
    for _ in range(copies):
        release_freed_memory()
        timers = [make_timer(compile_model(model, target), target) for model in (baseline, *models)]
        anchors = [make_timer(compile_model(baseline, target), target) for _ in range(ANCHORS)]
        found.append(interleave(timers, anchors, rng, level=level, rounds=rounds, on_round=on_round))
        del timers, anchors
    draws = Draws.make(copies, max(len(own[0]) for own in found), rng)
    anchor_us = anchor_level([r for own in found for r in own[0]], level)
    return anchor_us, [
        Ratio.to_anchor([own[i] for own in found], level, draws) for i in range(1 + len(models))
    ]


def _warm(timer: Timer | LoadedTimer) -> Timer | LoadedTimer:
    """With all the memory that it takes once it has run."""
    timer.run(1)
    return timer
