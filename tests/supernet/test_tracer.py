"""What a model's own code may ask while it is traced."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernet import ElasticNetwork, generate
from supernet.checks import check
from supernet.errors import OvnasError

IMAGES = torch.randn(1, 3, 16, 16)


class Base(nn.Module):
    """Two convolutions and a classifier; subclasses ask in `between`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU())
        self.head = nn.Linear(32, 10)

    def between(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.between(self.first(x)))
        return self.head(x.mean((2, 3)))


class Asserts(Base):
    def between(self, x: Tensor) -> Tensor:
        assert x.dim() == 4, "images, please"
        if x.shape[2] != x.size(3):
            raise ValueError("square images, please")
        return x


class Pads(Base):
    """Pads to a multiple of a window, as vision transformers do."""

    def between(self, x: Tensor) -> Tensor:
        _, _, height, width = x.shape
        bottom, right = (5 - height % 5) % 5, (5 - width % 5) % 5
        if bottom > 0 or right > 0:
            x = F.pad(x, (0, right, 0, bottom))
        return x


class Iterates(Base):
    def between(self, x: Tensor) -> Tensor:
        height, width = list(x.shape[-2:])
        return F.interpolate(x, size=(height * 2, width * 2))


class SumsSplit(Base):
    def between(self, x: Tensor) -> Tensor:
        return sum(torch.chunk(x, 2, dim=1)).repeat(1, 2, 1, 1)  # type: ignore[union-attr, return-value]


class Counts(Base):
    def between(self, x: Tensor) -> Tensor:
        for _ in range(len(x.shape) - 2):
            x = F.avg_pool2d(x, 2)
        return F.interpolate(x, size=[int(x.shape[2] * 1.5), int(x.shape[3] * 1.5)])


class AsksChannels(Base):
    def between(self, x: Tensor) -> Tensor:
        return x if x.shape[1] == self.second[0].in_channels else x * 2


class TakesAll(Base):
    """Drops what is too much, as GhostNet does, where nothing is."""

    def between(self, x: Tensor) -> Tensor:
        return x[:, :32, 0:16]


@pytest.mark.parametrize("kind", [TakesAll, Asserts, Pads, Iterates, SumsSplit, Counts, AsksChannels])
def test_questions_about_shapes_are_answered(kind: type[Base]) -> None:
    model = kind().eval()
    network = generate(model, IMAGES)
    assert any(group.slot is not None for group in network.space.groups)
    assert {layer.name for layer in network.space.layers} == {"first.0", "second.0", "head"}
    holds(network, model)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_network_takes_any_batch(batch: int) -> None:
    model = Pads().eval()
    network = generate(model, IMAGES)
    images = torch.randn(batch, 3, 16, 16)
    torch.testing.assert_close(network(images), model(images))


def test_an_assertion_within_a_block_does_not_keep_it_from_being_dropped() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(32, 32, 3, padding=1)
            self.scale = nn.Parameter(torch.full((32,), 0.5))

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            torch._assert(y.ndim == 4, "images, please")
            return x + y * self.scale.reshape(1, -1, 1, 1)

    model = nn.Sequential(nn.Conv2d(3, 32, 3), Block(), Block(), nn.Conv2d(32, 10, 3)).eval()
    network = generate(model, IMAGES)
    assert [slot.choices for slot in network.space.slots if slot.kind == "depth"] == [(0, 1, 2)]
    holds(network, model)


def holds(network: ElasticNetwork, model: nn.Module) -> None:
    assert check(network, model(IMAGES), IMAGES, n=3).faults == ()


class AsksBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(int(x.shape[0]), -1).reshape(x.shape)


class AsksValues(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.mean() > 0 else -x


@pytest.mark.parametrize(
    ("part", "reason"), [(AsksBatch, "size of the batch"), (AsksValues, "values of a tensor")]
)
def test_other_questions_keep_a_submodule_whole(part: type[nn.Module], reason: str) -> None:
    class Model(Base):
        def __init__(self) -> None:
            super().__init__()
            self.part = part()

        def between(self, x: Tensor) -> Tensor:
            return self.part(x)

    model = Model().eval()
    network = generate(model, IMAGES)
    assert reason in next(group.reason for group in network.space.groups if group.name == "first.0")
    holds(network, model)
    images = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(network(images), model(images))


def test_a_model_that_asks_for_values_itself_is_refused() -> None:
    class Model(Base):
        def between(self, x: Tensor) -> Tensor:
            return x if x.mean() > 0 else -x

    with pytest.raises(OvnasError, match=r"values of a tensor.*submodule"):
        generate(Model().eval(), IMAGES)
