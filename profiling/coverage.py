"""Which architectures to measure: extremes first, then a sample that fills the space and all of its sizes,
then also those of which a committee trained on what is measured is least sure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor

from profiling.record import Reason
from supernet.architecture import Architecture
from supernet.errors import OvnasError
from supernet.space import Space

__all__ = ["Chooser", "least_sure", "space_filling"]

CANDIDATES = 64
# Random architectures among which those of one size are looked for.
SIZED = 2000
MAX_TRIES = 200
# So many networks fill the space before any is chosen for being unsure; half of each block is, then.
FILLING = 60
POOL = 2000
COMMITTEE = 100
# Its multiples, modulo 1, fill 0..1 evenly wherever one stops.
GOLDEN = (5**0.5 - 1) / 2


class Chooser:
    """Chooses what to measure next; what is `known` already is taken into account and never comes again."""

    def __init__(self, space: Space, rng: np.random.Generator, known: Iterable[Architecture] = ()) -> None:
        self.space, self._rng = space, rng
        self._chosen = list(known)
        self._seen = set(self._chosen)

    def next(
        self, n: int, measured: Sequence[tuple[Architecture, float]]
    ) -> list[tuple[Architecture, Reason]]:
        """Up to `n` architectures with the reason for each; fewer where the space has no more.

        `measured` are the architectures and latencies so far: see `least_sure`.
        """
        result: list[tuple[Architecture, Reason]] = []
        if len(measured) >= FILLING:
            for architecture in least_sure(self.space, measured, n // 2, self._rng, self._seen):
                result.append((architecture, "unsure"))
        self._remember(result)
        extremes = {self.space.largest, self.space.smallest}
        filling = space_filling(self.space, self._rng, self._chosen, of_each_size=True)
        fresh: list[tuple[Architecture, Reason]] = []
        for architecture in filling:
            if len(result) + len(fresh) == n:
                break
            fresh.append((architecture, "extreme" if architecture in extremes else "filling"))
        self._remember(fresh)
        return result + fresh

    def _remember(self, chosen: Sequence[tuple[Architecture, Reason]]) -> None:
        self._chosen += [architecture for architecture, _ in chosen]
        self._seen = set(self._chosen)


def least_sure(
    space: Space,
    measured: Sequence[tuple[Architecture, float]],
    n: int,
    rng: np.random.Generator,
    seen: set[Architecture],
) -> list[Architecture]:
    """`n` architectures not in `seen` on whose latency a committee disagrees most (query by committee:
    Seung, Opper & Sompolinsky, COLT 1992).

    The committee are randomised trees on an architecture's choices that explain what MACs do not. Those
    chosen are kept apart from each other: disagreement counts times the distance to the nearest one.
    """
    codes = space.encode_all(a for a, _ in measured)
    scale = np.maximum([len(slot.choices) - 1 for slot in space.slots], 1)
    latency = np.log([us for _, us in measured])
    log_macs = np.log(space.macs_of(codes))
    line = np.polyfit(log_macs, latency, 1)
    trees = ExtraTreesRegressor(COMMITTEE, bootstrap=True, random_state=int(rng.integers(2**31)), n_jobs=1)
    trees.fit(np.column_stack([codes / scale, log_macs]), latency - np.polyval(line, log_macs))
    sized = _of_all_sizes(space, POOL // 2, rng)
    pool = np.unique(np.concatenate([space.sample_codes(POOL // 2, rng), sized]), axis=0)
    inputs = np.column_stack([pool / scale, np.log(space.macs_of(pool))])
    doubt = np.std([tree.predict(inputs) for tree in trees.estimators_], axis=0)
    distance = np.ones(len(pool))
    result: list[Architecture] = []
    for index in map(int, _greedy(pool / scale, doubt, distance)):
        architecture = space.decode(pool[index])
        if architecture not in seen and len(result) < n:
            result.append(architecture)
        if len(result) == n:
            break
    return result


def _greedy(
    places: NDArray[np.float64], doubt: NDArray[np.float64], distance: NDArray[np.float64]
) -> Iterator[int]:
    """Indices by falling doubt times distance to the nearest one before."""
    for position in range(len(places)):
        index = int(np.argmax(doubt * distance))
        yield index
        to_it = np.abs(places - places[index]).mean(axis=1)
        distance = to_it if position == 0 else np.minimum(distance, to_it)


def space_filling(
    space: Space, rng: np.random.Generator, known: Iterable[Architecture] = (), *, of_each_size: bool = False
) -> Iterator[Architecture]:
    """Different architectures without end, none of them `known`: the largest, the smallest, then each the
    one that is farthest from those before and those known, among random candidates (Mitchell's
    best-candidate sampling, 1991). Ends when the space has no more.

    Candidates are drawn as a balanced design: every slot runs through all its choices in random order
    before one comes again. Nearly all of these are of middle size, so with `of_each_size` the candidates of
    every second one are of one size, and these sizes fill the range of MACs evenly, on a scale of ratios.
    """
    sizes = np.array([len(slot.choices) for slot in space.slots])
    if len(sizes) == 0:
        raise OvnasError("the space has no choices; nothing could be learned from measuring it")
    chosen = [space.encode(a) for a in known]
    seen = set(chosen)
    for extreme in (space.largest, space.smallest):
        if (code := space.encode(extreme)) not in seen:
            chosen.append(code)
            seen.add(code)
            yield extreme
    decks = [np.array([], dtype=np.int64) for _ in sizes]
    scale = np.maximum(sizes - 1, 1)
    while True:
        codes: list[tuple[int, ...]] = []
        if of_each_size and len(chosen) % 2:
            codes = _unseen(_of_size(space, len(chosen) // 2 * GOLDEN % 1, rng), seen)
        for _ in range(MAX_TRIES):
            if codes:
                break
            hands = [_deal(decks, slot, int(size), rng) for slot, size in enumerate(sizes)]
            codes = _unseen(space.canonical(np.stack(hands, axis=1)), seen)
        else:
            return
        known = np.array(chosen) / scale
        distance = [np.abs(np.array(c) / scale - known).sum(axis=1).min() for c in codes]
        best = codes[int(np.argmax(distance))]
        chosen.append(best)
        seen.add(best)
        yield space.decode(best)


def _of_size(space: Space, place: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Candidates whose MACs are nearest to those at a place from 0, the smallest's, to 1, the largest's."""
    codes = _of_all_sizes(space, SIZED, rng)
    ends = space.encode_all([space.smallest, space.largest])
    low, high = np.log1p(space.macs_of(ends))
    away = np.abs(np.log1p(space.macs_of(codes)) - (low + place * (high - low)))
    return codes[np.argsort(away, kind="stable")[:CANDIDATES]]


def _of_all_sizes(space: Space, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choices of one kind lie around a level of their own: deep and narrow ones, and shallow and wide."""
    kinds = [slot.kind for slot in space.slots]
    levels = {kind: rng.random(n) for kind in dict.fromkeys(kinds)}
    return space.codes_around(np.stack([levels[kind] for kind in kinds], axis=1), rng)


def _unseen(codes: NDArray[np.int64], seen: set[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return [code for code in map(tuple, codes.tolist()) if code not in seen]


def _deal(
    decks: list[np.ndarray[tuple[int], np.dtype[np.int64]]], slot: int, size: int, rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    while len(decks[slot]) < CANDIDATES:
        decks[slot] = np.concatenate([decks[slot], rng.permutation(size)])
    hand, decks[slot] = decks[slot][:CANDIDATES], decks[slot][CANDIDATES:]
    return hand
