from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import supernet
from supernet import SpaceSection
from supernet.blocks import find_blocks, find_runs
from supernet.graph import trace

IMAGE = (1, 3, 8, 8)


def conv(i: int, o: int) -> nn.Conv2d:
    return nn.Conv2d(i, o, 3, padding=1)


def runs_of(model):
    return find_runs(find_blocks(trace(model, torch.randn(IMAGE))))


def test_runs_of_the_residual_network(make_tiny_resnet):
    traced = trace(make_tiny_resnet(), torch.randn(IMAGE))
    blocks = find_blocks(traced)
    assert [block.is_identity for block in blocks] == [True, True, False, True]
    assert [len(run) for run in find_runs(blocks)] == [2, 1]
    assert blocks[1].entry == blocks[0].exit


@pytest.mark.parametrize(
    ("function", "n_runs"),
    [
        (lambda s, x: s.o((lambda y: y + s.b(F.relu(s.a(y))))(s.i(x))), 1),
        (lambda s, x: s.o((lambda y: torch.add(s.b(s.a(y)), y))(s.i(x))), 1),
        (lambda s, x: s.o((lambda y: s.b(s.a(y)).add_(y))(s.i(x))), 1),
        (lambda s, x: s.o((lambda y: F.relu(y + s.b(s.a(y))))(F.relu(s.i(x)))), 1),
        # What must not be dropped:
        (lambda s, x: s.o((lambda y: s.a(y) + s.b(y))(s.i(x))), 0),  # no shortcut
        (lambda s, x: s.o((lambda y: y + y)(s.i(x))), 0),  # nothing inside
        (lambda s, x: s.o((lambda y: y * s.b(s.a(y)))(s.i(x))), 0),  # no addition
        (lambda s, x: (lambda y, z: s.o(y + s.b(z)) + s.o(z))(*(lambda y: (y, s.a(y)))(s.i(x))), 0),  # read
    ],
)
def test_what_is_a_droppable_block(lambda_model, function, n_runs):
    model = lambda_model(function, i=conv(3, 8), a=conv(8, 8), b=conv(8, 8), o=conv(8, 4))
    assert len(runs_of(model)) == n_runs


@pytest.mark.parametrize(
    ("function", "skipped"),
    [
        (lambda s, x: (lambda y: F.relu(y + s.b(s.a(y))))(F.relu(s.i(x))), lambda s, x: F.relu(s.i(x))),
        (lambda s, x: (lambda y: F.relu(y + s.b(s.a(y))))(s.i(x)), lambda s, x: F.relu(s.i(x))),
        (
            lambda s, x: (lambda y: F.gelu(y + s.b(s.a(y))))(F.gelu(s.i(x))),
            lambda s, x: F.gelu(F.gelu(s.i(x))),
        ),
        (lambda s, x: (lambda y: F.relu(y + s.b(s.a(y))))(F.relu6(s.i(x))), lambda s, x: F.relu6(s.i(x))),
    ],
)
def test_a_dropped_block_is_its_shortcut(lambda_model, randomise, function, skipped):
    """An activation behind the addition may go too only where that changes nothing."""
    model = lambda_model(
        lambda s, x: s.o(function(s, x)), i=conv(3, 8), a=conv(8, 8), b=conv(8, 8), o=conv(8, 4)
    )
    x = torch.randn(IMAGE)
    network = supernet.generate(randomise(model), x, SpaceSection(width=(1.0,)))
    assert network.space.smallest.depth == (0,)
    with torch.no_grad(), network.activated(network.space.smallest):
        torch.testing.assert_close(network(x), model.o(skipped(model, x)), rtol=0, atol=1e-5)


def test_nested_blocks_have_right_macs(lambda_model, randomise):
    """A block within a droppable block: what is counted must be what runs."""
    inner = lambda_model(lambda s, z: z + s.b(F.relu(s.a(z))), a=conv(8, 8), b=conv(8, 8))
    outer = lambda_model(
        lambda s, y: y + s.last(s.inner(s.first(y))), first=conv(8, 8), inner=inner, last=conv(8, 8)
    )
    model = nn.Sequential(conv(3, 8), outer, conv(8, 4))
    x = torch.randn(IMAGE)
    network = supernet.generate(randomise(model), x, SpaceSection(width=(0.5, 1.0), divisor=2))
    rng = np.random.default_rng(0)
    for architecture in [network.space.smallest, *(network.space.sample(rng) for _ in range(20))]:
        module = network.extract(architecture)
        convs = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
        assert network.space.macs(architecture) == sum(c.weight.numel() * 64 for c in convs)
