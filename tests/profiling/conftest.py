"""A network with what the small residual one lacks: groups, pooling, a flattened map, biases."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

import supernet
from supernet import ElasticNetwork, SpaceSection
from supernet.sliced import SlicedGraphs


@dataclass(frozen=True)
class Specimen:
    """INT8 graphs of a super-network for images in batches of `batch`."""

    network: ElasticNetwork
    graphs: SlicedGraphs
    batch: int


def depthwise() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.ReLU6()),
        *(nn.Conv2d(16, 32, 3, 1, 1, groups=4), nn.ReLU()),
        *(nn.Conv2d(32, 24, 1), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Conv2d(24, 16, 3, 1, 1), nn.Flatten(), nn.Linear(16 * 9, 5)),
    )


@pytest.fixture(scope="session", params=["tiny", "depthwise"])
def specimen(request, tiny_network, tiny_graphs, tiny_images, randomise) -> Specimen:
    if request.param == "tiny":
        return Specimen(tiny_network, tiny_graphs, 1)
    torch.manual_seed(0)
    network = supernet.generate(randomise(depthwise()), tiny_images[:1], SpaceSection(divisor=4))
    return Specimen(network, SlicedGraphs(network, tiny_images[:2], tiny_images), 2)


@pytest.fixture
def compile_kernels(specimen, known):
    """The kernels that a compiled architecture of the specimen executes."""
    from profiling.kernel import read_kernels
    from profiling.target import compile_model

    return lambda a: read_kernels(compile_model(specimen.graphs.model(a), known.target))
