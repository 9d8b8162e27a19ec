from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import supernet
from supernet import OvnasError
from supernet.checks import check
from supernet.graph import trace

IMAGE = torch.randn(2, 3, 8, 8)


def test_a_model_that_branches_on_values_is_refused():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 8, 1)

        def forward(self, x):
            return self.a(x) if x.sum() > 0 else x

    with pytest.raises(OvnasError, match=r"own forward cannot be traced .*values of a tensor"):
        trace(Branching(), IMAGE)


def test_a_random_model_is_refused(lambda_model):
    with pytest.raises(OvnasError, match="is it random"):
        trace(lambda_model(lambda s, x: s.a(x) + torch.rand_like(x[:, :1]), a=nn.Conv2d(3, 8, 1)), IMAGE)


def test_a_wrong_example_is_refused(tiny_network, make_tiny_resnet):
    with pytest.raises(OvnasError, match=r"does not run on the example input of shape \[\(1, 4, 8, 8\)\]"):
        trace(make_tiny_resnet(), torch.zeros(1, 4, 8, 8))


class Slopes(nn.Module):
    """Residual blocks behind one another, with activations that write into what they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 4)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)) for _ in range(3)
        )
        self.act = nn.LeakyReLU(0.1, inplace=True)

    def forward(self, x):
        x = self.act(self.stem(x))
        for block in self.blocks:
            x = self.act(x + block(x))
        return self.head(x.mean((2, 3)))


def test_dropped_blocks_between_activations_that_write_in_place_can_be_trained():
    network = supernet.generate(Slopes(), torch.zeros(1, 3, 8, 8)).train()
    x = torch.randn(4, 3, 8, 8)
    for architecture in (network.space.smallest, network.space.largest):
        with network.activated(architecture):
            network(x).sum().backward()


@pytest.mark.parametrize("is_module", [True, False])
def test_shuffled_channels_are_elastic(is_module):
    shuffle = nn.ChannelShuffle(4) if is_module else partial(F.channel_shuffle, groups=4)

    class Shuffled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last, self.shuffle = nn.Conv2d(3, 32, 1), nn.Conv2d(32, 5, 1), shuffle

        def forward(self, x):
            return self.last(self.shuffle(self.first(x)))

    x = torch.randn(2, 3, 4, 4)
    model = Shuffled().eval()
    network = supernet.generate(model, x, supernet.SpaceSection(divisor=4))
    assert [slot.kind for slot in network.space.slots] == ["width"]
    with torch.no_grad():
        assert check(network, model(x), x, n=3).passed
