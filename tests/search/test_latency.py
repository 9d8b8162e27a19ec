"""The benchmark in the loop, with rounds of a known law in place of a clock."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from profiling import block
from search.evaluations import Evaluations
from search.latency import Measured


@pytest.fixture
def measured(known, monkeypatch):
    """What was timed, by block."""
    blocks = []

    def time_block(bench, architectures, rng):
        blocks.append(list(architectures))
        return [known.rounds(a, len(blocks)) for a in architectures]

    monkeypatch.setattr(block, "time_block", time_block)
    return blocks


@pytest.fixture
def make(known, tmp_path):
    def make(machine: str = "one", room: int = 16) -> Measured:
        bench = SimpleNamespace(plan=known.plan, target=known.target, room=lambda: room)
        cache = Evaluations(tmp_path / "evaluations.sqlite")
        return Measured(bench, {"machine": machine}, cache, seed=0)

    return make


def test_latencies_are_ratios_to_the_anchor(known, make, measured):
    source = make()
    architectures = known.architectures(9)
    found = source.predict_codes(source.space.encode_all(architectures))
    expected = [known.latency_us(a) / known.latency_us(source.space.largest) for a in architectures]
    np.testing.assert_allclose(found / source.baseline_us, expected, rtol=1e-4)
    assert source.interval(found[:2]) == [[None, None]] * 2


def test_each_is_measured_once_also_by_a_search_that_was_killed(known, make, measured):
    codes = make().space.encode_all(known.architectures(5))
    first = make().predict_codes(codes)
    n = sum(map(len, measured))
    np.testing.assert_array_equal(make().predict_codes(np.concatenate([codes, codes])), np.tile(first, 2))
    assert sum(map(len, measured)) == n == 5  # the largest among them was the anchor's


def test_no_more_are_measured_at_once_than_memory_has_room_for(known, make, measured):
    source = make(room=2)
    source.predict_codes(source.space.encode_all(known.architectures(9)))
    assert max(map(len, measured)) == 2


def test_another_machine_is_measured_again(known, make, measured):
    codes = make().space.encode_all(known.architectures(3))
    make().predict_codes(codes)
    n = sum(map(len, measured))
    make("another").predict_codes(codes)
    assert sum(map(len, measured)) == 2 * n


def test_blocks_are_no_longer_than_profilings(known, make, measured):
    make().predict_codes(make().space.encode_all(known.architectures(40)))
    assert max(map(len, measured)) <= 16
