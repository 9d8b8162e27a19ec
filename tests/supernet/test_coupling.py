from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

import supernet
from supernet import SpaceSection
from supernet.graph import trace
from supernet.space import Segment

SECTION = SpaceSection(width=(0.5, 1.0), divisor=2)
IMAGE = (2, 3, 8, 8)


def conv(i: int, o: int, kernel: int = 1) -> nn.Conv2d:
    return nn.Conv2d(i, o, kernel, padding=kernel // 2)


def reasons(network) -> dict[str, str]:
    return {group.name: group.reason for group in network.space.groups if group.slot is None}


def never_wrong(model, shape, randomise):
    """Every sub-network runs, and as extracted; the largest is the model. Returns the network."""
    x = torch.randn(shape)
    network = supernet.generate(randomise(model), x, SECTION)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        torch.testing.assert_close(network(x), model(x), rtol=0, atol=1e-5)
        for architecture in [network.space.smallest, *(network.space.sample(rng) for _ in range(5))]:
            with network.activated(architecture):
                torch.testing.assert_close(network(x), network.extract(architecture)(x), rtol=0, atol=1e-5)
    return network


# A convolution of 8 channels `a`, an operation, a reader `b`: the operation must fix `a` and be named.
UNKNOWN = {
    "LocalResponseNorm": (lambda s, x: s.b(s.op(s.a(x))), {"op": nn.LocalResponseNorm(2)}),
    "Softmax2d": (lambda s, x: s.b(s.op(s.a(x))), {"op": nn.Softmax2d()}),
    "PixelShuffle": (lambda s, x: s.b(s.op(s.a(x)).repeat(1, 4, 1, 1)), {"op": nn.PixelShuffle(2)}),
    "softmax": (lambda s, x: s.b(F.softmax(s.a(x), 1)), {}),
    "flip": (lambda s, x: s.b(torch.flip(s.a(x), (1,))), {}),
    "getitem": (lambda s, x: s.b(s.a(x)[:, [3, 2, 1, 0, 4, 5, 6, 7]]), {}),
    "mean": (lambda s, x: s.b(s.a(x) - s.a(x).mean(1, keepdim=True)), {}),
    "cumsum": (lambda s, x: s.b(torch.cumsum(s.a(x), 1)), {}),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_operation_that_is_not_understood_fixes_its_channels(name, lambda_model, randomise):
    function, parts = UNKNOWN[name]
    network = never_wrong(lambda_model(function, a=conv(3, 8), b=conv(8, 4), **parts), IMAGE, randomise)
    assert name in reasons(network)["a"]


# Understood, or refused; in no case may a sub-network compute something else or fail to run.
TRICKY = {
    "flatten of batch and channels": (
        lambda s, x: s.b(torch.flatten(s.a(x), 0, 1)),
        (2, 3, 5),
        {"a": nn.Conv1d(3, 8, 1), "b": nn.Linear(5, 4)},
    ),
    "view that mixes samples": (lambda s, x: s.b(s.a(x).view(4, -1)), IMAGE, {"b": nn.Linear(256, 4)}),
    "clamp by a tensor a channel": (
        lambda s, x: s.b(torch.clamp(s.a(x), max=s.limit)),
        IMAGE,
        {"limit": nn.Parameter(torch.ones(1, 8, 1, 1))},
    ),
    "convolution along a linear layer's features": (
        lambda s, x: s.b(s.op(s.a(x))),
        (2, 5, 6),
        {"a": nn.Linear(6, 8), "op": nn.Conv1d(5, 7, 1), "b": nn.Linear(8, 3)},
    ),
    "pooling along a linear layer's features": (
        lambda s, x: s.b(s.op(s.a(x))),
        (2, 5, 6),
        {"a": nn.Linear(6, 8), "op": nn.AvgPool1d(2), "b": nn.Linear(4, 3)},
    ),
    "cat by keyword": (
        lambda s, x: s.b(torch.cat(tensors=[s.a(x), s.c(x)], dim=1)),
        IMAGE,
        {"b": conv(16, 4), "c": conv(3, 8)},
    ),
    "cat along axis=": (
        lambda s, x: s.b(torch.cat([s.a(x), s.c(x)], axis=1)),
        IMAGE,
        {"b": conv(16, 4), "c": conv(3, 8)},
    ),
    "cat with itself": (lambda s, x: s.b(torch.cat([s.a(x)] * 2, 1)), IMAGE, {"b": conv(16, 4)}),
    "cat then grouped convolution": (
        lambda s, x: s.b(s.op(torch.cat([s.a(x), s.c(x)], 1))),
        IMAGE,
        {"b": conv(16, 4), "c": conv(3, 8), "op": nn.Conv2d(16, 16, 3, groups=16)},
    ),
    "sum of a concatenation and a layer": (
        lambda s, x: s.b(torch.cat([s.a(x), s.c(x)], 1) + s.d(x)),
        IMAGE,
        {"b": conv(16, 4), "c": conv(3, 8), "d": conv(3, 16)},
    ),
    "sum with the input": (lambda s, x: s.b(F.relu(s.a(x))) + x, IMAGE, {"b": conv(8, 3)}),
    "product with the number of channels": (lambda s, x: s.b(s.a(x) * x.shape[1]), IMAGE, {}),
    "recurrent layer": (
        lambda s, x: s.b(s.op(s.a(x).flatten(2).transpose(1, 2))[0]),
        IMAGE,
        {"op": nn.LSTM(8, 6, batch_first=True), "b": nn.Linear(6, 2)},
    ),
    "group norm of four groups": (
        lambda s, x: s.b(s.op(s.a(x))),
        IMAGE,
        {"op": nn.GroupNorm(4, 8)},
    ),
    "group norm of one group": (lambda s, x: s.b(s.op(s.a(x))), IMAGE, {"op": nn.GroupNorm(1, 8)}),
    "instance norm": (
        lambda s, x: s.b(s.op(s.a(x))),
        IMAGE,
        {"op": nn.InstanceNorm2d(8, affine=True, track_running_stats=True)},
    ),
    "layer norm of the last axis": (
        lambda s, x: s.b(s.op(s.a(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)),
        IMAGE,
        {"op": nn.LayerNorm(8)},
    ),
    "layer norm of everything": (lambda s, x: s.b(s.op(s.a(x))), IMAGE, {"op": nn.LayerNorm((8, 8, 8))}),
    "prelu a channel": (lambda s, x: s.b(s.op(s.a(x))), IMAGE, {"op": nn.PReLU(8)}),
    "prelu of one number": (lambda s, x: s.b(s.op(s.a(x))), IMAGE, {"op": nn.PReLU()}),
    "weight norm": (
        lambda s, x: s.b(s.op(s.a(x))),
        IMAGE,
        {"op": parametrizations.weight_norm(conv(8, 8, 3))},
    ),
    "unpooling": (
        lambda s, x: s.b((lambda made: s.un(made[0], made[1]))(s.op(s.c(s.a(x))))),
        IMAGE,
        {"op": nn.MaxPool2d(2, return_indices=True), "un": nn.MaxUnpool2d(2), "c": conv(8, 8)},
    ),
    "transposed convolution": (
        lambda s, x: s.b(s.op(s.a(x))),
        IMAGE,
        {"op": nn.ConvTranspose2d(8, 8, 2, 2)},
    ),
    "grouped transposed convolution": (
        lambda s, x: s.b(s.op(s.a(x))),
        IMAGE,
        {"op": nn.ConvTranspose2d(8, 16, 2, 2, groups=4), "b": conv(16, 4)},
    ),
    "halves change places": (lambda s, x: s.b(torch.cat(s.a(x).chunk(2, 1)[::-1], 1)), IMAGE, {}),
    "chunks that are not alike": (
        lambda s, x: s.b(torch.cat(s.a(x).chunk(3, 1)[::-1], 1)),
        IMAGE,
        {},
    ),
    "split in sizes": (
        lambda s, x: s.b(s.c(s.a(x).split([6, 2], 1)[0])),
        IMAGE,
        {"c": conv(6, 8)},
    ),
    "shuffle with constants": (
        lambda s, x: s.b(s.a(x).view(2, 2, 4, 8, 8).transpose(1, 2).reshape(2, 8, 8, 8)),
        IMAGE,
        {},
    ),
    "gate of two halves": (
        lambda s, x: s.b((lambda halves: halves[0] * torch.sigmoid(halves[1]))(torch.chunk(s.a(x), 2, 1))),
        IMAGE,
        {"b": conv(4, 4)},
    ),
    "flatten with constants": (
        lambda s, x: s.b(s.a(x).view(-1, 8 * 8 * 8)),
        IMAGE,
        {"b": nn.Linear(512, 4)},
    ),
    "flatten of channels last": (
        lambda s, x: s.b(s.a(x)[:, :, :2, :2].permute(0, 2, 3, 1).flatten(1)),
        IMAGE,
        {"b": nn.Linear(32, 4)},
    ),
    "some rows only": (lambda s, x: s.b(s.a(x)[:, :, ::2, None, 1]), IMAGE, {}),
    "some channels only": (lambda s, x: s.b(s.a(x)[:, 2:6]), IMAGE, {"b": conv(4, 4)}),
    "softmax over pixels": (lambda s, x: s.b(F.softmax(s.a(x), -1)), IMAGE, {}),
    "padding of pixels": (lambda s, x: s.b(F.pad(s.a(x), (1, 2, 0, 1))), IMAGE, {}),
    "padding of channels": (lambda s, x: s.b(F.pad(s.a(x), (0, 0, 0, 0, 1, 1))), IMAGE, {"b": conv(10, 4)}),
    "a parameter a channel, reshaped": (
        lambda s, x: s.b(s.a(x) * s.scale.reshape(1, -1, 1, 1)),
        IMAGE,
        {"scale": nn.Parameter(torch.ones(8))},
    ),
    "stack and mean": (
        lambda s, x: s.b(torch.stack([s.a(x), s.c(x)], 0).mean(0)),
        IMAGE,
        {"c": conv(3, 8)},
    ),
    "attention": (
        lambda s, x: s.b(s.op(y := s.a(x).flatten(2).transpose(1, 2), y, y)[0]),
        IMAGE,
        {"op": nn.MultiheadAttention(8, 2, batch_first=True), "b": nn.Linear(8, 2)},
    ),
    "a size that the channels do not follow": (
        lambda s, x: s.b(s.a(x).reshape(x.shape[0], x.shape[2], -1).reshape(2, 8, 8, 8)),
        IMAGE,
        {},
    ),
    "a block of pooling only": (
        lambda s, x: s.b(s.a(x) + s.op(s.a(x))),
        IMAGE,
        {"op": nn.AvgPool2d(3, 1, 1)},
    ),
    "a droppable block of pooling only": (
        lambda s, x: s.b((lambda y: y + s.op(y))(s.a(x))),
        IMAGE,
        {"op": nn.AvgPool2d(3, 1, 1)},
    ),
}


@pytest.mark.parametrize("name", TRICKY)
def test_sub_networks_are_never_wrong(name, lambda_model, randomise):
    function, shape, parts = TRICKY[name]
    model = lambda_model(function, **{"a": conv(3, 8), "b": conv(8, 4), **parts})
    never_wrong(model, shape, randomise)


def test_addition_joins_and_concatenation_does_not(lambda_model, randomise):
    parts = {name: conv(3, 8) for name in "abcd"}
    model = lambda_model(
        lambda s, x: s.out(torch.cat([s.a(x) + s.b(x), s.c(x)], 1) * 2 + 1) + s.last(s.d(x)),
        **parts,
        out=conv(16, 4),
        last=conv(8, 4),
    )
    network = never_wrong(model, IMAGE, randomise)
    assert [slot.name for slot in network.space.slots] == ["a", "c", "d"]
    inputs = {layer.name: layer.inputs for layer in network.space.layers}
    names = [group.name for group in network.space.groups]
    assert inputs["out"] == (Segment(names.index("a"), 1), Segment(names.index("c"), 1))


def test_depthwise_and_grouped_convolutions_join_in_units(lambda_model, randomise):
    model = lambda_model(
        lambda s, x: s.b(s.g(s.dw(s.a(x)))),
        a=conv(3, 16),
        dw=nn.Conv2d(16, 16, 3, groups=16),
        g=nn.Conv2d(16, 32, 1, groups=4),
        b=conv(32, 4),
    )
    space = never_wrong(model, IMAGE, randomise).space
    assert space.groups[0].n_units == 4
    outputs = {layer.name: layer.outputs for layer in space.layers}
    expected = {"a": 4, "dw": 4, "g": 8}
    assert {name: outputs[name] for name in expected} == {n: (Segment(0, k),) for n, k in expected.items()}


def test_the_output_stays_as_it_is(tiny_network):
    assert reasons(tiny_network) == {"fc": "its channels are the network's output"}


def test_opaque_submodules_are_fixed_and_no_more_than_they(randomise):
    class Opaque(nn.Module):
        def forward(self, x):
            return x * 2 if x.sum() > 0 else x

    inside = nn.Sequential(conv(8, 8), nn.Sequential(Opaque(), nn.ReLU()), conv(8, 8))
    model = nn.Sequential(conv(3, 8), inside, conv(8, 8), conv(8, 4))
    traced = trace(model, torch.randn(IMAGE))
    assert list(traced.opaque) == ["1.1.0"]
    assert "values of a tensor" in traced.opaque["1.1.0"]
    network = never_wrong(model, IMAGE, randomise)
    assert "Opaque (1.1.0) cannot be traced: the code depends on the values" in reasons(network)["1.0"]
    assert [slot.name for slot in network.space.slots] == ["0", "1.2", "2"]


def test_channels_that_are_cropped_shrink_on_their_own(lambda_model, randomise):
    def dual(s, x):
        """As in a dual path network: some channels are added, the others appended."""
        y = s.a(x)
        z = s.c(F.relu(y))
        return s.b(torch.cat([y[:, :8] + z[:, :8], y[:, 8:], z[:, 8:12], z[:, -4:]], 1))

    model = lambda_model(dual, a=conv(3, 16), c=conv(16, 16), b=conv(24, 4))
    network = never_wrong(model, IMAGE, randomise)
    assert reasons(network).keys() == {"b"}
    assert [slot.name for slot in network.space.slots] == ["a[0]", "a[1]", "c[1][0]", "c[1][1]"]


def test_channels_that_a_layer_over_tokens_is_applied_to_are_fixed(lambda_model, randomise):
    def mixed(s, x):
        """As in an MLP-Mixer: a linear layer over the places of each channel."""
        y = s.a(x).flatten(2)
        return s.b((y + s.down(F.relu(s.up(y)))).reshape(2, -1, 8, 8))

    parts = {"a": conv(3, 8), "up": nn.Linear(64, 32), "down": nn.Linear(32, 64), "b": conv(8, 4)}
    network = never_wrong(lambda_model(mixed, **parts), IMAGE, randomise)
    assert "Linear (up) is applied to each of them" in reasons(network)["a"]
    assert [slot.name for slot in network.space.slots if slot.kind == "width"] == ["up"]


def test_squeeze_excite_may_be_expanded_as_its_map(lambda_model, randomise):
    def excited(s, x):
        b, c, _, _ = x.size()
        scale = torch.sigmoid(s.up(F.relu(s.down(x.mean((2, 3)))))).view(b, c, 1, 1)
        return x + s.c(x) * scale.expand_as(x)

    block = lambda_model(excited, c=conv(8, 8, 3), down=nn.Linear(8, 4), up=nn.Linear(4, 8))
    network = never_wrong(nn.Sequential(conv(3, 8), block, conv(8, 4)), IMAGE, randomise)
    assert reasons(network).keys() == {"2"}
    assert [slot.kind for slot in network.space.slots] == ["depth", "width", "width"]


def test_weight_norm_and_pooling_with_places_are_no_obstacle(lambda_model, randomise):
    model = lambda_model(
        lambda s, x: s.b(s.p(s.w(s.a(x)))[0]),
        a=conv(3, 8),
        w=parametrizations.weight_norm(conv(8, 8)),
        p=nn.MaxPool2d(2, return_indices=True),
        b=conv(8, 4),
    )
    assert [slot.name for slot in never_wrong(model, IMAGE, randomise).space.slots] == ["a", "w"]


def test_what_sizes_are_taken_from_is_fixed_and_no_more(lambda_model, randomise):
    def heads(s, x):
        y = s.a(s.c(x))
        return s.b(torch.cumsum(s.d(y).reshape(2, y.shape[1] // 2, 2, 8, 8), 2).flatten(1, 2))

    parts = {"c": conv(3, 8), "a": conv(8, 8), "d": conv(8, 8), "b": conv(8, 4)}
    network = never_wrong(lambda_model(heads, **parts), IMAGE, randomise)
    assert "reshape" in reasons(network)["a"]
    assert [slot.name for slot in network.space.slots] == ["c"]


def test_arguments_that_are_not_given_have_their_defaults(randomise):
    class Optional(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = conv(3, 8), conv(8, 4)

        def forward(self, x, mask=None, *more, features=False, **others):
            x = self.a(x) if mask is None else self.a(x) * mask
            return x if features or more or others else self.b(x)

    assert [slot.name for slot in never_wrong(Optional(), IMAGE, randomise).space.slots] == ["a"]


@pytest.mark.parametrize(
    "pooling", [nn.AdaptiveAvgPool1d(16), nn.AvgPool1d(2), nn.MaxPool1d(4), nn.AvgPool1d(3, 1, 1)]
)
def test_pooling_that_takes_channels_for_pixels_fixes_them(lambda_model, randomise, pooling):
    n = pooling(torch.zeros(1, 16)).shape[1]
    model = lambda_model(
        lambda s, x: s.l(s.p(F.relu(s.c(s.a(x))).mean((2, 3)))),
        a=conv(3, 8), c=conv(8, 16), p=pooling, l=nn.Linear(n, 4),
    )  # fmt: skip
    network = never_wrong(model, IMAGE, randomise)
    assert type(pooling).__name__ in reasons(network)["c"]
    assert [slot.name for slot in network.space.slots] == ["a"]


def test_pooling_of_two_dimensions_over_one_is_not_followed(lambda_model, randomise):
    model = lambda_model(
        lambda s, x: s.l(s.p(s.c(x.flatten(2))).flatten(1)),
        c=nn.Conv1d(3, 8, 1), p=nn.MaxPool2d(2), l=nn.Linear(4 * 32, 4),
    )  # fmt: skip
    never_wrong(model, IMAGE, randomise)
