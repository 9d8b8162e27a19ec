"""Which architectures to measure: extremes first, then a sample that fills the space."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from supernet.architecture import Architecture
from supernet.errors import OvnasError
from supernet.space import Space

__all__ = ["space_filling"]

CANDIDATES = 64
MAX_TRIES = 200


def space_filling(space: Space, rng: np.random.Generator) -> Iterator[Architecture]:
    """Different architectures without end: the largest, the smallest, then each the one that is
    farthest from those before among random candidates (Mitchell's best-candidate sampling, 1991).

    Candidates are drawn as a balanced design: every slot runs through all its choices in random order
    before one comes again. Ends when the space has no more.
    """
    sizes = np.array([len(slot.choices) for slot in space.slots])
    if len(sizes) == 0:
        raise OvnasError("the space has no choices; nothing could be learned from measuring it")
    chosen = [space.encode(space.largest), space.encode(space.smallest)]
    seen = set(chosen)
    yield space.largest
    if len(seen) == 1:
        return
    yield space.smallest
    decks = [np.array([], dtype=np.int64) for _ in sizes]
    scale = np.maximum(sizes - 1, 1)
    while True:
        for _ in range(MAX_TRIES):
            candidates = np.stack(
                [_deal(decks, slot, int(size), rng) for slot, size in enumerate(sizes)], axis=1
            )
            codes = [c for c in map(tuple, space.canonical(candidates).tolist()) if c not in seen]
            if codes:
                break
        else:
            return
        known = np.array(chosen) / scale
        distance = [np.abs(np.array(c) / scale - known).sum(axis=1).min() for c in codes]
        best = codes[int(np.argmax(distance))]
        chosen.append(best)
        seen.add(best)
        yield space.decode(best)


def _deal(
    decks: list[np.ndarray[tuple[int], np.dtype[np.int64]]], slot: int, size: int, rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    while len(decks[slot]) < CANDIDATES:
        decks[slot] = np.concatenate([decks[slot], rng.permutation(size)])
    hand, decks[slot] = decks[slot][:CANDIDATES], decks[slot][CANDIDATES:]
    return hand
