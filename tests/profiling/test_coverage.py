from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from profiling.coverage import FILLING, Chooser, least_sure, space_filling
from supernet import OvnasError, Space
from supernet.space import Block, Group, Slot


def first(space, n, seed=0):
    return list(itertools.islice(space_filling(space, np.random.default_rng(seed)), n))


def space_of(*slots: Slot) -> Space:
    groups = tuple(Group(s.name, int(max(s.choices)), i) for i, s in enumerate(slots) if s.kind == "width")
    return Space(slots, groups, (), 4)


SMALL = space_of(
    Slot("depth", "depth", (0, 1, 2)),
    Slot("a", "width", (4, 8, 16)),
    Slot("b", "width", (4, 8), Block(0, 0)),
    Slot("c", "width", (4, 8, 12), Block(0, 1)),
)


def everything(space: Space) -> set:
    codes = np.array(list(itertools.product(*(range(len(s.choices)) for s in space.slots))))
    return {space.decode(row) for row in codes}


def test_extremes_come_first(tiny_network):
    space = tiny_network.space
    assert first(space, 2) == [space.largest, space.smallest]


def test_architectures_are_distinct_members(tiny_network):
    found = first(tiny_network.space, 120)
    assert len(set(found)) == len(found) == 120
    codes = [tiny_network.space.encode(a) for a in found]
    assert len(set(codes)) == 120


def test_a_small_space_is_yielded_whole_and_then_ends():
    """All of it, by brute force; choices inside dropped blocks make no other architecture."""
    expected = everything(SMALL)
    assert len(expected) == 3 * (1 + 2 + 2 * 3)
    found = list(space_filling(SMALL, np.random.default_rng(0)))
    assert len(found) == len(expected)
    assert set(found) == expected


def test_the_smallest_spaces():
    single = space_of(Slot("a", "width", (8,)))
    assert list(space_filling(single, np.random.default_rng(0))) == [single.largest]
    pair = space_of(Slot("a", "width", (4, 8)))
    assert list(space_filling(pair, np.random.default_rng(0))) == [pair.largest, pair.smallest]
    with pytest.raises(OvnasError, match="no choices"):
        next(space_filling(space_of(), np.random.default_rng(0)))


@pytest.mark.parametrize("seed", range(5))
def test_every_choice_of_every_slot_is_met_soon(tiny_network, seed):
    """Also those inside blocks, in networks where the block is alive."""
    space = tiny_network.space
    codes = space.encode_all(first(space, 16, seed))
    for index, slot in enumerate(space.slots):
        alive = space.alive(slot.block, codes)
        assert set(codes[alive, index]) == set(range(len(slot.choices))), slot.name


def test_it_fills_better_than_chance(tiny_network):
    """The smallest distance between two of the first twenty, against as many random ones."""
    space = tiny_network.space
    scale = np.array([max(1, len(s.choices) - 1) for s in space.slots])

    def closest(codes: np.ndarray) -> float:
        points = codes / scale
        distance = np.abs(points[:, None] - points[None]).sum(axis=2)
        return float(distance[np.triu_indices(len(points), 1)].min())

    filling = [closest(space.encode_all(first(space, 20, seed))) for seed in range(5)]
    chance = [closest(space.sample_codes(20, np.random.default_rng(seed))) for seed in range(5)]
    assert min(filling) > max(chance)


def test_of_each_size_reaches_the_small_and_the_large(tiny_network):
    """The first and the last quarter of the MACs, by ratios; there are hardly any of
    the first among uniform choices."""
    space = tiny_network.space
    least, most = (math.log(space.macs(a)) for a in (space.smallest, space.largest))

    def ends(*, of_each_size: bool) -> list[float]:
        rng = np.random.default_rng(0)
        found = itertools.islice(space_filling(space, rng, of_each_size=of_each_size), 2, 82)
        place = np.array([(math.log(space.macs(a)) - least) / (most - least) for a in found])
        return [float(np.mean(place < 0.25)), float(np.mean(place > 0.75))]

    assert min(ends(of_each_size=True)) > 2 * max(0.03, min(ends(of_each_size=False)))


def test_of_each_size_yields_a_small_space_whole_and_distinct_members_of_a_large_one(tiny_network):
    found = list(space_filling(SMALL, np.random.default_rng(0), of_each_size=True))
    assert len(found) == len(set(found))
    assert set(found) == everything(SMALL)
    rng = np.random.default_rng(0)
    found = list(itertools.islice(space_filling(tiny_network.space, rng, of_each_size=True), 120))
    assert len({tiny_network.space.encode(a) for a in found}) == 120


def test_what_is_known_does_not_come_again_and_is_kept_away_from(tiny_network):
    space = tiny_network.space
    known = first(space, 30)
    found = list(itertools.islice(space_filling(space, np.random.default_rng(1), known), 30))
    assert not set(found) & set(known)
    rest = list(space_filling(SMALL, np.random.default_rng(0), first(SMALL, 20)))
    assert set(rest) == everything(SMALL) - set(first(SMALL, 20))


def test_a_chooser_fills_first_and_then_also_asks_where_it_is_unsure(tiny_network):
    space = tiny_network.space
    chooser = Chooser(space, np.random.default_rng(0))
    measured: list = []
    reasons: list = []
    while len(measured) < FILLING + 16:
        block = chooser.next(8, measured)
        reasons += [reason for _, reason in block]
        measured += [(a, 1.0 + space.macs(a) * 1e-6) for a, _ in block]
    assert reasons[:2] == ["extreme", "extreme"]
    assert reasons[2:64] == ["filling"] * 62
    assert sorted(reasons[64:72]) == ["filling"] * 4 + ["unsure"] * 4
    assert len({a for a, _ in measured}) == len(measured)
    assert Chooser(SMALL, np.random.default_rng(0), everything(SMALL)).next(8, []) == []


def test_unsure_is_where_the_law_is_not_known(tiny_network):
    """One choice of one slot costs twice, at random: those networks are asked for more often."""
    space, rng = tiny_network.space, np.random.default_rng(0)
    codes = space.sample_codes(80, rng)
    odd = codes[:, 0] == 0
    latency = space.macs_of(codes) * np.where(odd, rng.uniform(1, 3, 80), 1.0)
    measured = [(space.decode(row), float(us)) for row, us in zip(codes, latency, strict=True)]
    seen = {a for a, _ in measured}
    found = least_sure(space, measured, 12, rng, seen)
    assert len(set(found)) == 12
    assert not set(found) & seen
    share = np.mean(space.encode_all(found)[:, 0] == 0)
    assert share > 1.5 * np.mean(space.sample_codes(2000, rng)[:, 0] == 0)


CODE = """
import json, sys, itertools, numpy as np
from profiling.coverage import FILLING, Chooser, least_sure, space_filling
from supernet.space import Space
space = Space.from_json(json.load(open(sys.argv[1])))
rng = np.random.default_rng(5)
print([str(a) for a in itertools.islice(space_filling(space, rng), 40)])
"""


def test_the_seed_decides_in_any_process(tiny_network, tmp_path, in_other_process):
    space = tiny_network.space
    (tmp_path / "space.json").write_text(json.dumps(space.to_json()))
    here = f"{[str(a) for a in first(space, 40, seed=5)]}\n"
    for hash_seed in (1, 2):
        assert in_other_process(CODE, tmp_path / "space.json", hash_seed=hash_seed) == here
    assert first(space, 40, seed=6) != first(space, 40, seed=5)
