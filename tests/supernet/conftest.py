"""A zoo of small models, each with one way of joining channels; contract tests run over every one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import supernet
from supernet import ElasticNetwork, SpaceSection, train


@dataclass(frozen=True)
class Specimen:
    """`is_joined`: a layer reads several groups, one after the other."""

    name: str
    model: nn.Module
    inputs: tuple[Tensor, ...]
    network: ElasticNetwork
    is_joined: bool


class Lambda(nn.Module):
    """`function(self, *inputs)` over named submodules and parameters."""

    def __init__(self, function: Callable[..., Tensor], **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = conv_bn(3, 16), conv_bn(2, 16)
        self.head = conv_bn(32, 8)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.left(x), self.right(y)
        both = torch.cat((a + b, a), 1)
        return self.head(both), b


class Opaque(nn.Module):
    """Data-dependent, so that it cannot be traced; maps C channels to C."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = conv_bn(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if x.sum() > -1e9 else x


def conv(i: int, o: int, kernel: int = 3, **options: int) -> nn.Conv2d:
    return nn.Conv2d(i, o, kernel, padding=kernel // 2, **options)


def conv_bn(i: int, o: int, kernel: int = 3, **options: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(i, o, kernel, padding=kernel // 2, bias=False, **options), nn.BatchNorm2d(o), nn.ReLU()
    )


def head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5)]


def bottleneck(i: int, inner: int, out: int, stride: int = 1, groups: int = 1) -> nn.Module:
    main = nn.Sequential(
        conv_bn(i, inner, 1), conv_bn(inner, inner, stride=stride, groups=groups), conv_bn(inner, out, 1)[:2]
    )
    if stride == 1 and i == out:
        return Lambda(lambda self, x: F.relu(self.main(x) + x), main=main)
    return Lambda(
        lambda self, x: F.relu(self.main(x) + self.short(x)),
        main=main,
        short=conv_bn(i, out, 1, stride=stride)[:2],
    )


def inverted_residual(i: int, out: int, stride: int = 1) -> nn.Module:
    inner = 2 * i
    layers = [
        *(nn.Conv2d(i, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6(inplace=True)),
        nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
        *(nn.BatchNorm2d(inner), nn.ReLU6(inplace=True)),
        *(nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out)),
    ]
    if stride == 1 and i == out:
        return Lambda(lambda self, x: x + self.main(x), main=nn.Sequential(*layers))
    return nn.Sequential(*layers)


def mobilenet() -> nn.Module:
    blocks = [inverted_residual(16, 24, 2), inverted_residual(24, 24), inverted_residual(24, 24)]
    return nn.Sequential(conv_bn(3, 16, stride=2), *blocks, conv_bn(24, 32, 1), *head(32))


def squeeze_excite() -> nn.Module:
    return Lambda(
        lambda self, x: self.fc(self.excite(self.conv(x)).mean([2, 3])),
        conv=conv_bn(3, 16),
        excite=Lambda(
            lambda self, x: x * torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True))))),
            down=conv(16, 8, 1),
            up=conv(8, 16, 1),
        ),
        fc=nn.Linear(16, 5),
    )


def densenet() -> nn.Module:
    def layer(i: int) -> nn.Module:
        block = nn.Sequential(nn.BatchNorm2d(i), nn.ReLU(), conv(i, 8))
        return Lambda(lambda self, x: torch.cat([x, self.block(x)], dim=1), block=block)

    return nn.Sequential(
        conv(3, 16), layer(16), layer(24), nn.BatchNorm2d(32), conv(32, 16, 1), nn.AvgPool2d(2), *head(16)
    )


def vgg() -> nn.Module:
    return nn.Sequential(
        *(conv_bn(3, 16), nn.MaxPool2d(2), conv_bn(16, 8), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(8 * 9, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 5)),
    )


def shared_layer() -> nn.Module:
    return Lambda(
        lambda self, x: self.last(self.mid(self.mid(self.first(x)))),
        first=conv_bn(3, 16),
        mid=conv_bn(16, 16),
        last=conv(16, 4),
    )


def shared_block() -> nn.Module:
    block = bottleneck(16, 8, 16)
    return nn.Sequential(conv_bn(3, 16), block, block, conv(16, 4))


def pre_activation() -> nn.Module:
    def block() -> nn.Module:
        main = nn.Sequential(
            *(nn.BatchNorm2d(16), nn.ReLU(), conv(16, 8), nn.BatchNorm2d(8), nn.ReLU(), conv(8, 16))
        )
        return Lambda(
            lambda self, x: x + self.scale * self.main(x),
            main=main,
            scale=nn.Parameter(torch.ones(16, 1, 1)),
        )

    return nn.Sequential(conv(3, 16), block(), block(), nn.ReLU(), *head(16))


ZOO: dict[str, tuple[Callable[[], nn.Module], SpaceSection]] = {
    "bottleneck": (
        lambda: nn.Sequential(
            *(conv_bn(3, 16), bottleneck(16, 8, 32, 2), bottleneck(32, 16, 32), bottleneck(32, 8, 32)),
            *head(32),
        ),
        SpaceSection(width=(0.5, 1.0), expand=(0.125, 0.25), divisor=4, max_dropped=1),
    ),
    "mobilenet": (mobilenet, SpaceSection(divisor=4)),
    "mobilenet_expand": (mobilenet, SpaceSection(expand=(0.5, 1.0), divisor=4)),
    "resnext": (
        lambda: nn.Sequential(
            *(conv_bn(3, 16), bottleneck(16, 16, 32, 2, groups=4), bottleneck(32, 32, 32, groups=8)),
            *head(32),
        ),
        SpaceSection(divisor=4),
    ),
    "densenet": (densenet, SpaceSection(divisor=4)),
    "squeeze_excite": (squeeze_excite, SpaceSection(divisor=2)),
    "vgg": (vgg, SpaceSection(divisor=2)),
    "shared_layer": (shared_layer, SpaceSection(divisor=4)),
    "shared_block": (shared_block, SpaceSection(divisor=4)),
    "two_inputs": (TwoInputs, SpaceSection(divisor=4)),
    "pre_activation": (pre_activation, SpaceSection(divisor=4)),
    "conv1d": (
        lambda: nn.Sequential(
            *(nn.Flatten(2), nn.Conv1d(3, 16, 5, 2, groups=1), nn.BatchNorm1d(16), nn.GELU()),
            *(nn.Conv1d(16, 16, 3, groups=16), nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(32, 5)),
        ),
        SpaceSection(divisor=2),
    ),
    "opaque": (
        lambda: nn.Sequential(conv_bn(3, 16), conv(16, 8), Opaque(8), conv_bn(8, 16), conv(16, 4)),
        SpaceSection(divisor=4),
    ),
    "group_norm": (
        lambda: nn.Sequential(conv(3, 16), nn.GroupNorm(4, 16), conv(16, 16), nn.PReLU(16), conv_bn(16, 8)),
        SpaceSection(divisor=4),
    ),
}
JOINED = {"densenet", "two_inputs"}


@pytest.fixture(scope="session", params=[*ZOO, "tiny"])
def specimen(request, randomise, make_tiny_resnet, tiny_network, tiny_images) -> Specimen:
    name = request.param
    if name == "tiny":
        return Specimen(name, randomise(make_tiny_resnet()), (tiny_images,), tiny_network, False)
    make, section = ZOO[name]
    torch.manual_seed(0)
    model = randomise(make())
    inputs: tuple[Tensor, ...] = (tiny_images[:2],)
    if name == "two_inputs":
        inputs = (*inputs, torch.randn(2, 2, 12, 12))
    return Specimen(name, model, inputs, supernet.generate(model, inputs, section), name in JOINED)


@pytest.fixture(scope="session")
def zoo() -> dict[str, Callable[[], nn.Module]]:
    return {name: make for name, (make, _) in ZOO.items()}


@pytest.fixture(scope="session")
def lambda_model() -> type[Lambda]:
    return Lambda


@pytest.fixture(scope="module")
def trained(write_study, tmp_path_factory):
    """A tiny study's super-network, and the options that trained it."""
    folder = tmp_path_factory.mktemp("train")
    study = write_study(folder, train="batch_size = 128")
    options = ["--study", str(study), "--runs-dir", str(folder / "runs")]
    assert train.main(options) == 0
    return folder, options
