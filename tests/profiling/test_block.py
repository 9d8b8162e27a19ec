from __future__ import annotations

import numpy as np
import pytest

from profiling.block import even_blocks, is_disturbed, measure_block, time_block
from profiling.preparation import Bench
from profiling.timing import ROUNDS


@pytest.mark.parametrize(("n", "lengths"), [(0, []), (1, [1]), (16, [16]), (17, [8, 9]), (30, [15, 15])])
def test_blocks_are_few_and_even(n, lengths):
    blocks = even_blocks(list(range(n)), 16)
    assert [len(block) for block in blocks] == lengths
    assert [item for block in blocks for item in block] == list(range(n))


@pytest.mark.parametrize(("flagged", "expected"), [(0, False), (2, False), (3, True), (5, True)])
def test_most_rounds_flagged_is_disturbed(known, flagged, expected):
    from dataclasses import replace

    rounds = known.rounds(known.plan.space.largest)
    assert is_disturbed([replace(r, is_flagged=i < flagged) for i, r in enumerate(rounds)]) == expected


def test_a_block_gives_each_network_its_kernels_and_rounds(tiny_graphs, known):
    bench = Bench(tiny_graphs, known.target)
    space = bench.plan.space
    chosen = [space.smallest, space.largest]
    found = measure_block(bench, chosen, np.random.default_rng(0))
    assert [one.architecture for one in found] == chosen
    for one in found:
        assert len(one.rounds) >= ROUNDS
        assert [k.kernel for k in one.kernels] == bench.plan.of(one.architecture)
    timed = time_block(bench, chosen, np.random.default_rng(0))
    assert [len(rounds) >= ROUNDS for rounds in timed] == [True, True]
