"""Fixtures that all packages share: a small residual network and its super-network."""

from __future__ import annotations

import os

os.environ.setdefault("NNCF_CI", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import supernet
from supernet import ElasticNetwork, SpaceSection


class TinyBlock(nn.Module):
    def __init__(self, channels: int, inner: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride > 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class TinyResNet(nn.Module):
    """Two stages: `inner1` has one inner width a block, all droppable; of `inner2` the first is not."""

    def __init__(
        self, stem: int = 16, inner1: Sequence[int] = (16, 8), out: int = 24, inner2: Sequence[int] = (16, 24)
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(*(TinyBlock(stem, width, stem, 1) for width in inner1))
        self.layer2 = nn.Sequential(
            *(TinyBlock(out if i else stem, width, out, 1 if i else 2) for i, width in enumerate(inner2))
        )
        self.fc = nn.Linear(out, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Gives every weight and BatchNorm statistic a value of its own, so that no mistake stays hidden."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if not value.is_floating_point():
                continue
            noise = torch.randn(value.shape, generator=generator)
            if value.ndim > 1:
                value.copy_(noise / value[0].numel() ** 0.5)
            else:
                value.copy_(1 + 0.2 * noise.tanh() if name.endswith(("var", "weight")) else 0.2 * noise)
    return model.eval()


@pytest.fixture(scope="session", name="randomise")
def _randomise() -> Callable[..., nn.Module]:
    return randomise


@pytest.fixture(scope="session")
def make_tiny_resnet() -> Callable[..., TinyResNet]:
    """The hand-written network of any widths and depths: the oracle for sub-networks."""
    return TinyResNet


@pytest.fixture(scope="session")
def tiny_images() -> Tensor:
    """Shape (8, 3, 12, 12)."""
    return torch.randn(8, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def make_tiny_network(tiny_images: Tensor) -> Callable[..., ElasticNetwork]:
    """Makes a super-network of its own, for a test that changes it."""

    def make(width: tuple[float, ...] = (0.25, 0.5, 1.0), **options: object) -> ElasticNetwork:
        section = SpaceSection(width=width, **{"divisor": 4, **options})
        return supernet.generate(randomise(TinyResNet()), tiny_images[:1], section)

    return make


@pytest.fixture(scope="session")
def tiny_network(tiny_images: Tensor) -> ElasticNetwork:
    """The super-network of the small residual network; shared, so not to be changed."""
    section = SpaceSection(width=(0.25, 0.5, 1.0), divisor=4)
    return supernet.generate(randomise(TinyResNet()), tiny_images[:1], section)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
