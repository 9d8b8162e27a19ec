"""Layers that are called as functions are elastic like the modules that they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernet import generate
from supernet.checks import check

IMAGES = torch.randn(2, 3, 16, 16)


class PaddedConv(nn.Conv2d):
    """Pads as TensorFlow does: by the size of the map."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        missing = [max((-(-n // 2) - 1) * 2 + 3 - n, 0) for n in (height, width)]
        if any(n > 0 for n in missing):
            x = F.pad(x, [missing[1] // 2, missing[1] - missing[1] // 2, missing[0] // 2, 1])
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class NormAct(nn.BatchNorm2d):
    """A normalisation with its activation."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        torch._assert(x.ndim == 4, "images, please")
        x = F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, 0.1, self.eps
        )
        return self.act(x)


class Bare(nn.Module):
    """Parameters of its own, and several layers of them."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(32, 32, 3, 3) / 10)
        self.scale, self.shift = nn.Parameter(torch.ones(32)), nn.Parameter(torch.zeros(32))
        self.expand, self.bias = nn.Parameter(torch.randn(64, 32) / 10), nn.Parameter(torch.zeros(64))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(F.conv2d(x, self.kernel, padding=1), self.kernel, padding=1).relu()
        x = F.group_norm(x, 8, self.scale, self.shift)
        return F.linear(x.mean((2, 3)), self.expand, bias=self.bias).relu()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm = PaddedConv(3, 32, 3, stride=2), NormAct(32)
        self.bare = Bare()
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.bare(self.norm(self.stem(x))))


def test_functional_layers_are_elastic() -> None:
    model = Net().eval()
    network = generate(model, IMAGES)
    space = network.space
    assert [layer.name for layer in space.layers] == [
        "stem", "bare.kernel", "bare.kernel", "bare.expand", "head",
    ]  # fmt: skip
    assert {group.name for group in space.groups if group.slot is not None} >= {"stem", "bare.expand"}
    assert space.macs(space.largest) == 8 * 8 * (27 * 32 + 2 * 9 * 32 * 32) + 32 * 64 + 640
    assert check(network, model(IMAGES), IMAGES, n=4).faults == ()


def test_a_functional_normalisation_learns_in_training() -> None:
    network = generate(Net().eval(), IMAGES)
    norm = network.module.get_submodule("norm")
    before = norm.running_mean.clone()
    network.train()(IMAGES)
    assert not torch.equal(norm.running_mean, before)
    assert {"stem.weight", "norm.running_var", "bare.kernel.weight"} <= set(network.module.state_dict())


@pytest.mark.parametrize("function", [F.dropout, F.dropout2d])
def test_a_functional_dropout_drops_in_training(function: Callable[..., Tensor]) -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 32, 3), nn.Conv2d(32, 8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(function(self.first(x), 0.75, self.training))

    model = Dropping().eval()
    network = generate(model, IMAGES)
    assert check(network, model(IMAGES), IMAGES, n=2).faults == ()
    expected = model(IMAGES)
    for made in (network, network.extract(network.space.largest)):
        assert torch.allclose(made.eval()(IMAGES), expected, atol=1e-5)
        assert not torch.allclose(made.train()(IMAGES), expected, atol=1e-5)
        assert not torch.equal(made(IMAGES), made(IMAGES))
    assert [slot.name for slot in network.space.slots] == ["first"]


def test_a_weight_computed_of_parameters_becomes_one() -> None:
    class Standardised(nn.Conv2d):
        """As in networks without normalisation (Brock et al. 2021)."""

        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__(inputs, outputs, 3)
            self.gain = nn.Parameter(torch.rand(outputs, 1, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            weight = F.batch_norm(
                weight.reshape(1, self.out_channels, -1), None, None, self.gain.view(-1), training=True
            ).reshape_as(self.weight)
            return F.conv2d(x, weight, self.bias, self.stride, self.padding)

    model = nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(), Standardised(32, 16), nn.ReLU(), nn.Conv2d(16, 8, 3)
    ).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    network = generate(model, IMAGES)
    assert [slot.name for slot in network.space.slots] == ["0", "2"]
    assert [layer.name for layer in network.space.layers] == ["0", "2", "4"]
    assert "2.gain" not in network.module.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert check(network, model(IMAGES), IMAGES, n=2).faults == ()


def test_a_masked_weight_stays_masked() -> None:
    class Masked(nn.Conv2d):
        """Causal: the mask must hold in training too."""

        def __init__(self) -> None:
            super().__init__(32, 16, 3)
            self.register_buffer("mask", (torch.arange(9) < 5).float().view(1, 1, 3, 3).expand(16, 32, 3, 3))

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.mask * self.weight, self.bias)

    model = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), Masked(), nn.Conv2d(16, 8, 3)).eval()
    network = generate(model, IMAGES)
    assert "2.mask" in network.module.state_dict()
    assert check(network, model(IMAGES), IMAGES, n=2).faults == ()


@pytest.mark.parametrize("kind", ["batch statistics", "no shift"])
def test_a_normalisation_that_is_no_module_stays_a_function(kind: str) -> None:
    class Norm(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            if kind == "no shift":
                return F.group_norm(x, 8, self.weight)
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, True, 0.0)

    model = nn.Sequential(nn.Conv2d(3, 32, 3), Norm(32), nn.ReLU(), nn.Conv2d(32, 8, 3)).eval()
    network = generate(model, IMAGES)
    assert check(network, model(IMAGES), IMAGES, n=2).faults == ()


def test_a_weight_computed_of_the_input_stays_what_it_is() -> None:
    class Dynamic(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight * x.mean(), self.bias)

    model = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), Dynamic(32, 16, 3), nn.Conv2d(16, 8, 3)).eval()
    network = generate(model, IMAGES)
    assert check(network, model(IMAGES), IMAGES, n=2).faults == ()


def test_a_layer_whose_weight_is_used_elsewhere_too_stays_a_layer() -> None:
    class Tied(nn.Module):
        """As in an autoencoder."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.encode = nn.Conv2d(3, 32, 3), nn.Linear(32, 16)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x).relu().mean((2, 3))
            return (
                F.linear(self.encode(x).relu(), self.encode.weight.t())
                - F.linear(x, self.encode.weight).sum()
            )

    model = Tied().eval()
    network = generate(model, IMAGES)
    assert {"encode.weight", "encode.bias"} <= set(network.module.state_dict())
    assert check(network, model(IMAGES), IMAGES, n=2).faults == ()


@pytest.mark.parametrize("other", ["settings", "another use"])
def test_a_weight_with_two_uses_stays_a_parameter(other: str) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3, 3, 3))

        def forward(self, x: Tensor) -> Tensor:
            x = F.conv2d(x, self.weight, padding=1)
            if other == "settings":
                return F.conv2d(x, self.weight, padding=0)
            return x * self.weight.mean()

    model = nn.Sequential(nn.Conv2d(3, 3, 3), Twice()).eval()
    network = generate(model, IMAGES)
    assert "1.weight" in network.module.state_dict()
    assert check(network, model(IMAGES), IMAGES, n=2).faults == ()


class Frozen(nn.Module):
    """A normalisation whose scale and shift are buffers, and a blur whose filter is one."""

    def __init__(self) -> None:
        super().__init__()
        for name, value in (("weight", 2.0), ("bias", 0.5), ("running_mean", 0.1), ("running_var", 3.0)):
            self.register_buffer(name, torch.full((16,), value))
        self.register_buffer("blur", torch.rand(16, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, training=False)
        return F.conv2d(x, self.blur, stride=2, padding=1, groups=16)


def test_weights_that_are_buffers(rng):
    model = nn.Sequential(nn.Conv2d(3, 16, 3), Frozen(), nn.ReLU(), nn.Conv2d(16, 8, 1), nn.Flatten())
    network = generate(model.eval(), IMAGES)
    assert "0" in {group.name for group in network.space.groups if group.slot is not None}
    assert check(network, model(IMAGES), IMAGES, n=3).faults == ()
