"""Networks resident together: prepared, timed, and gone again."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from profiling.load import level_of
from profiling.memory import release_freed_memory
from profiling.timing import Round, interleave

if TYPE_CHECKING:
    import numpy as np

    from profiling.preparation import Bench
    from profiling.record import KernelTime
    from supernet.architecture import Architecture

__all__ = ["Measured", "even_blocks", "is_disturbed", "measure_block", "time_block"]

T = TypeVar("T")


@dataclass(frozen=True)
class Measured:
    """One network's kernels and rounds. `prepare_s` is what slicing and compiling twice took."""

    architecture: Architecture
    kernels: list[KernelTime]
    rounds: list[Round]
    prepare_s: float


def measure_block(
    bench: Bench, architectures: Sequence[Architecture], rng: np.random.Generator
) -> list[Measured]:
    """Kernels and rounds of each architecture.

    All counters are read before any network is compiled to be timed, so that those lie in memory as in
    `time_block`.
    """
    release_freed_memory()
    prepared = [bench.prepare(architecture) for architecture in architectures]
    release_freed_memory()
    start = time.perf_counter()
    timers = [bench.timer(item.model) for item in prepared]
    each_s = (time.perf_counter() - start) / len(timers)
    rounds = interleave(timers, bench.anchors(), rng, level=level_of(bench.target))
    return [
        Measured(item.architecture, item.kernels, own, item.prepare_s + each_s)
        for item, own in zip(prepared, rounds, strict=True)
    ]


def time_block(
    bench: Bench, architectures: Sequence[Architecture], rng: np.random.Generator
) -> list[list[Round]]:
    """The rounds of each architecture, without its kernels."""
    models = [bench.graphs.model(architecture) for architecture in architectures]
    release_freed_memory()
    timers = [bench.timer(model) for model in models]
    return interleave(timers, bench.anchors(), rng, level=level_of(bench.target))


def is_disturbed(rounds: Sequence[Round]) -> bool:
    """Whether most of a network's rounds are flagged, so that they are not to be trusted."""
    return 2 * sum(r.is_flagged for r in rounds) > len(rounds)


def even_blocks(items: Sequence[T], most: int) -> list[list[T]]:
    """The items in order, cut into as few blocks of at most `most` as possible, none of them much shorter."""
    n_blocks = math.ceil(len(items) / most)
    cuts = [round(i * len(items) / n_blocks) for i in range(n_blocks + 1)] if items else [0]
    return [list(items[a:b]) for a, b in itertools.pairwise(cuts)]
