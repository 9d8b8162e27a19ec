"""Networks resident together: prepared, timed, and gone again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from profiling.load import level_of
from profiling.memory import release_freed_memory
from profiling.timing import Round, interleave

if TYPE_CHECKING:
    import numpy as np

    from profiling.preparation import Bench, Prepared
    from supernet.architecture import Architecture

__all__ = ["Measured", "even_blocks", "is_disturbed", "measure_block", "time_block"]

T = TypeVar("T")


@dataclass(frozen=True)
class Measured:
    """One network's kernels and rounds."""

    prepared: Prepared
    rounds: list[Round]


def measure_block(
    bench: Bench, architectures: Sequence[Architecture], rng: np.random.Generator
) -> list[Measured]:
    """Kernels and rounds of each architecture."""
    release_freed_memory()
    items, timers = zip(*(bench.prepare(architecture) for architecture in architectures), strict=True)
    rounds = interleave(timers, bench.anchors(), rng, level=level_of(bench.target))
    return [Measured(item, own) for item, own in zip(items, rounds, strict=True)]


def time_block(
    bench: Bench, architectures: Sequence[Architecture], rng: np.random.Generator
) -> list[list[Round]]:
    """The rounds of each architecture, without its kernels."""
    release_freed_memory()
    timers = [bench.timer(architecture) for architecture in architectures]
    return interleave(timers, bench.anchors(), rng, level=level_of(bench.target))


def is_disturbed(rounds: Sequence[Round]) -> bool:
    """Whether most of a network's rounds are flagged, so that they are not to be trusted."""
    return 2 * sum(r.is_flagged for r in rounds) > len(rounds)


def even_blocks(items: Sequence[T], most: int) -> list[list[T]]:
    """The items in order, cut into as few blocks of at most `most` as possible, none of them much shorter."""
    n_blocks = math.ceil(len(items) / most)
    cuts = [round(i * len(items) / n_blocks) for i in range(n_blocks + 1)] if items else [0]
    return [list(items[a:b]) for a, b in itertools.pairwise(cuts)]
