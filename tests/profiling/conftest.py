"""Networks with what the small residual one lacks: groups, pooling, a flattened map, biases, inverted
residuals, a run of blocks behind a max-pooling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import supernet
from supernet import ElasticNetwork, SpaceSection
from supernet.models.mobilenet import MobileNetV2
from supernet.models.resnet import BasicBlock, ResNet
from supernet.sliced import SlicedGraphs

N_STORED = 8


@dataclass(frozen=True)
class Specimen:
    """INT8 graphs of a super-network for images in batches of `batch`, calibrated with `images`."""

    network: ElasticNetwork
    graphs: SlicedGraphs
    batch: int
    images: Tensor


def depthwise() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.ReLU6()),
        *(nn.Conv2d(16, 32, 3, 1, 1, groups=4), nn.ReLU()),
        *(nn.Conv2d(32, 24, 1), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Conv2d(24, 16, 3, 1, 1), nn.Flatten(), nn.Linear(16 * 9, 5)),
    )


def inverted() -> nn.Module:
    """MobileNetV2 in small; every block of its first three stages but one has a shortcut."""
    return MobileNetV2(((1, 8, 1, 1), (6, 8, 2, 1), (6, 12, 2, 2)), stem=8, last=32, n_classes=5).eval()


def pooled() -> nn.Module:
    """All blocks of the first stage may go: what is left reads the max-pooling."""
    return ResNet(BasicBlock, (1, 2), widths=(16, 24), n_classes=5)


def kernels() -> nn.Module:
    """Kernels of 5 and 7, depthwise and not, beside 3."""
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 7, 2, 3), nn.ReLU(), nn.Conv2d(16, 16, 5, 1, 2, groups=16), nn.ReLU()),
        *(nn.Conv2d(16, 24, 5, 1, 2), nn.ReLU(), nn.Conv2d(24, 16, 3, 1, 1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)),
    )


class ChannelsLast(nn.Module):
    """As in ConvNeXt: a normalisation and linear layers over the last axis."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 16, 4, 4), nn.Conv2d(16, 16, 3, 1, 1, groups=16)
        self.norm, self.up, self.down = nn.LayerNorm(16), nn.Linear(16, 32), nn.Linear(32, 24)
        self.head = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.depthwise(self.stem(x)).permute(0, 2, 3, 1))
        x = self.down(nn.functional.gelu(self.up(x))).permute(0, 3, 1, 2)
        return self.head(x.mean((2, 3)))


class Regrouped(nn.Module):
    """A split in two, a normalisation in groups, a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = (nn.Conv2d(i, o, 3, 2, 1) for i, o in ((3, 24), (8, 16), (16, 16)))
        self.up, self.norm = nn.ConvTranspose2d(32, 32, 2, 2), nn.GroupNorm(8, 32)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.stem(x).relu().split([8, 16], 1)
        x = self.up(torch.cat([self.left(a), self.right(b)], 1).relu())
        return self.head(self.norm(x).relu().mean((2, 3)))


class Square(nn.Module):
    """As many channels as the map has rows, and then as it has pixels: sizes do not tell axes apart."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.mid = nn.Conv2d(3, 16, 3, 2, 1), nn.LayerNorm(16), nn.Conv2d(16, 16, 4, 4)
        self.token, self.head = nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid(self.norm(self.stem(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        return self.head(self.token(x.flatten(2).transpose(1, 2)).relu().mean(1))


class Joined(nn.Module):
    """Two maps side by side, normalised in groups; a BatchNorm behind a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(3, 16, 3, 2, 1)
        self.norm, self.up = nn.GroupNorm(4, 32), nn.ConvTranspose2d(32, 16, 2, 2)
        self.up_norm, self.head = nn.BatchNorm2d(16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.norm(torch.cat([self.left(x), self.right(x)], 1)).relu())
        return self.head(self.up_norm(x).relu().mean((2, 3)))


MODELS = {
    "depthwise": depthwise, "pooled": pooled, "kernels": kernels,
    "last": ChannelsLast, "regrouped": Regrouped, "square": Square, "joined": Joined,
}  # fmt: skip


@pytest.fixture(scope="session", params=["tiny", "inverted", *MODELS])
def specimen(request, tiny_network, tiny_graphs, tiny_images, randomise) -> Specimen:
    if request.param == "tiny":
        return Specimen(tiny_network, tiny_graphs, 1, tiny_images)
    torch.manual_seed(0)
    if request.param == "inverted":  # with its own weights, for whose ranges ReLU6 is no more than ReLU
        model, batch = inverted(), 1
    else:
        model, batch = randomise(MODELS[request.param]()), 2
    images = tiny_images if request.param == "depthwise" else torch.randn(8, 3, 32, 32)
    section = SpaceSection(divisor=4, kernel=(3, 5) if request.param == "kernels" else ())
    network = supernet.generate(model, images[:1], section)
    return Specimen(network, SlicedGraphs(network, images[:batch], images), batch, images)


@pytest.fixture
def compile_kernels(specimen, known):
    """The kernels that a compiled architecture of the specimen executes."""
    from profiling.kernel import read_kernels
    from profiling.target import compile_model

    return lambda a: read_kernels(compile_model(specimen.graphs.model(a), known.target))


@pytest.fixture(scope="session")
def measured(known, tmp_path_factory) -> Path:
    """A store of N_STORED networks, five of them repeated; not to be changed."""
    return known.write(tmp_path_factory.mktemp("store") / "m.sqlite", N_STORED, 5)


@pytest.fixture
def copy(measured, tmp_path) -> Path:
    path = tmp_path / "m.sqlite"
    path.write_bytes(measured.read_bytes())
    return path
