from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
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


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm", "prune"])
def test_weights_that_a_hook_makes_are_refused_with_the_remedy(kind):
    conv = nn.Conv2d(3, 8, 3)
    if kind == "prune":
        torch.nn.utils.prune.l1_unstructured(conv, "weight", 0.5)
    else:
        with pytest.warns(FutureWarning) if kind == "weight_norm" else nullcontext():
            getattr(torch.nn.utils, kind)(conv)
    with pytest.raises(
        OvnasError, match=rf"^0 has weights that a hook makes .* make them plain with .*{kind}"
    ):
        trace(nn.Sequential(conv, nn.ReLU()), IMAGE)


def test_inputs_without_names_are_refused():
    class Listed(nn.Module):
        def forward(self, *xs):
            return xs[0] * 2

    with pytest.raises(OvnasError, match=r"its inputs have no names of their own, but are \*args"):
        trace(Listed(), IMAGE)


def test_an_output_that_is_no_tensor_is_named():
    @dataclass
    class Answer:
        logits: torch.Tensor

    class Wrapped(nn.Module):
        def forward(self, x):
            return Answer(x * 2)

    with pytest.raises(OvnasError, match="returns a Answer; tensors, and lists, tuples and dicts of them"):
        trace(Wrapped(), IMAGE)


def test_a_model_may_write_into_its_input():
    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 16, 1)

        def forward(self, x):
            return self.a(x.sub_(0.5)).mean((2, 3))

    before = IMAGE.clone()
    traced = trace(Centred(), IMAGE)
    torch.testing.assert_close(IMAGE, before)
    assert traced.shapes
