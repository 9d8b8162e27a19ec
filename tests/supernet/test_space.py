from __future__ import annotations

import itertools
import json
import math
from collections import Counter

import numpy as np
import pytest

from supernet import Architecture, OvnasError, Space
from supernet.space import Segment, make_divisible


@pytest.fixture(scope="module")
def space(tiny_network) -> Space:
    return tiny_network.space


def test_encode_decode_sample_canonical_round_trips(specimen, rng):
    space = specimen.network.space
    codes = space.sample_codes(50, rng)
    before = codes.copy()
    architectures = [space.decode(row) for row in codes]
    assert np.array_equal(space.encode_all(architectures), codes)
    assert np.array_equal(space.canonical(codes), codes)
    assert [space.decode(space.encode(a)) for a in architectures] == architectures
    assert np.array_equal(codes, before)
    assert space.encode_all([]).shape == (0, len(space.slots))


def test_text_and_json_round_trips(specimen, rng):
    space = specimen.network.space
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert again.fingerprint == space.fingerprint
    for architecture in [space.largest, space.smallest, *(space.sample(rng) for _ in range(20))]:
        assert space.encode(Architecture.parse(str(architecture))) == space.encode(architecture)


def test_macs_and_units_of_one_are_those_of_many(specimen, rng):
    space = specimen.network.space
    codes = space.sample_codes(20, rng)
    rows = [space.decode(row) for row in codes]
    assert space.macs_of(codes).tolist() == [space.macs(a) for a in rows]
    assert space.group_sizes(codes).tolist() == [list(space.units(a)) for a in rows]


def test_ends(specimen):
    space = specimen.network.space
    assert space.units(space.largest) == tuple(group.n_units for group in space.groups)
    assert space.macs(space.smallest) <= space.macs(space.largest)
    for slot in space.slots:
        assert list(slot.choices) == sorted(set(slot.choices))


def test_every_fixed_group_says_why(specimen):
    for group in specimen.network.space.groups:
        assert (group.slot is None) == bool(group.reason)


@pytest.mark.parametrize("max_dropped", [-1, 0, 1])
def test_size_is_the_number_of_different_networks(make_tiny_network, max_dropped):
    """Brute force over what `extract` really builds."""
    network = make_tiny_network(width=(0.5, 1.0), max_dropped=max_dropped)
    space = network.space
    codes = itertools.product(*(range(len(slot.choices)) for slot in space.slots))
    seen = {space.encode(space.decode(row)) for row in codes}
    shapes = {
        tuple((k, v.shape) for k, v in network.extract(space.decode(row)).state_dict().items())
        for row in seen
    }
    assert len(shapes) == len(seen)
    assert 10**space.log10_size == pytest.approx(len(seen))


def test_canonical_forgets_choices_in_dropped_blocks(space, rng):
    raw = rng.integers(0, [len(s.choices) for s in space.slots], size=(200, len(space.slots)))
    original = raw.copy()
    canonical = space.canonical(raw)
    assert np.array_equal(raw, original)
    for index, slot in enumerate(space.slots):
        if slot.block is None:
            assert np.array_equal(canonical[:, index], raw[:, index])
        else:
            dead = np.array(space.slots[slot.block.slot].choices)[raw[:, slot.block.slot]] <= (
                slot.block.position
            )
            assert dead.any()
            assert (canonical[dead, index] == len(slot.choices) - 1).all()
            assert np.array_equal(canonical[~dead, index], raw[~dead, index])


def test_sampling_is_uniform(space):
    """A chi-square statistic below its 1e-4 quantile, with a fixed seed."""
    codes = space.sample_codes(6000, np.random.default_rng(7))
    for index, slot in enumerate(space.slots):
        if slot.block is not None:
            continue
        counts = Counter(codes[:, index].tolist())
        n = len(slot.choices)
        expected = 6000 / n
        statistic = sum((counts[i] - expected) ** 2 / expected for i in range(n))
        assert statistic < {2: 15.2, 3: 18.5, 4: 21.2}[n], slot.name


def test_sizes_of_an_expand_slot(make_tiny_network):
    space = make_tiny_network(expand=(0.125, 0.5), width=(0.5, 1.0)).space
    names = [group.name for group in space.groups]
    parents = {group.name: group.parent for group in space.groups}
    assert names[parents["layer1.0.conv1"]] == "conv1"
    rng = np.random.default_rng(0)
    for _ in range(20):
        architecture = space.sample(rng)
        units = dict(zip(names, space.units(architecture), strict=True))
        code = space.encode(architecture)
        for group in space.groups:
            if group.parent is not None:
                ratio = space.slots[group.slot].choices[code[group.slot]]
                wanted = round(units[names[group.parent]] * ratio)
                assert units[group.name] == min(group.n_units, make_divisible(wanted, 4))


@pytest.mark.parametrize("divisor", [1, 2, 8, 32])
def test_make_divisible(divisor):
    for value in range(1, 300):
        got = make_divisible(value, divisor)
        assert got % divisor == 0
        assert got >= max(divisor, 0.9 * value)
        assert got - divisor < value + divisor / 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: Architecture(a.width[:-1], depth=a.depth), "too short.*no 'layer2"),
        (lambda a: Architecture((*a.width, 4), depth=a.depth), "too long"),
        (lambda a: Architecture((5, *a.width[1:]), depth=a.depth), "'conv1' is 5, but must be one of 4, 8"),
        (lambda a: Architecture(a.width, expand=(0.5,), depth=a.depth), "too long"),
        (lambda a: Architecture(a.width, depth=(99, *a.depth[1:])), "depth' is 99, but must be one of 0"),
    ],
)
def test_encode_refuses_what_is_no_member(space, change, message):
    with pytest.raises(OvnasError, match=message) as caught:
        space.encode(change(space.largest))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [{}, {"slots": 3}, {"slots": [{}], "groups": [], "layers": []}])
def test_from_json_refuses_other_values(value):
    with pytest.raises(OvnasError, match="not the JSON of a space"):
        Space.from_json(value)


def test_fingerprint_differs_with_anything(space, make_tiny_network):
    others = [make_tiny_network(divisor=2), make_tiny_network(max_dropped=1), make_tiny_network((0.5, 1.0))]
    assert len({space.fingerprint, *(other.space.fingerprint for other in others)}) == 4
    assert make_tiny_network().space.fingerprint == space.fingerprint


def test_space_without_slots(make_tiny_network):
    space = make_tiny_network(width=(1.0,), max_dropped=0).space
    assert space.slots == ()
    assert space.log10_size == math.log10(1)
    assert space.largest == space.smallest == Architecture()
    assert space.sample(np.random.default_rng(0)) == Architecture()
    assert space.macs_of(space.sample_codes(3, np.random.default_rng(0))).tolist() == (
        [space.macs(Architecture())] * 3
    )


def test_what_is_free_is_what_has_a_choice(specimen, rng):
    space = specimen.network.space
    sizes = space.group_sizes(space.sample_codes(300, rng))
    for index, group in enumerate(space.groups):
        changes = bool(len(set(sizes[:, index].tolist())) > 1)
        assert space.is_free((Segment(None, 3), Segment(index, 2))) == changes == (group.slot is not None)
    assert not space.is_free((Segment(None, 3),))
