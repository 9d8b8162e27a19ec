from __future__ import annotations

import pytest
import torch
from torch import nn

import supernet
from supernet import Study
from supernet.models.mobilenet import InvertedResidual, mobilenet_v2

# Table 2 of the paper: expansion, output channels, blocks, stride of the first.
TABLE = [
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
]


def torchvision_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's `mobilenet_v2().state_dict()`, written out from its rule."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, *shape: int) -> None:
        shapes[f"{name}.weight"] = shape

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    conv("features.0.0", 32, 3, 3, 3)
    norm("features.0.1", 32)
    channels, index = 32, 1
    for expansion, out, n_blocks, _ in TABLE:
        for _ in range(n_blocks):
            path, width, part = f"features.{index}.conv", channels * expansion, 0
            if expansion != 1:
                conv(f"{path}.0.0", width, channels, 1, 1)
                norm(f"{path}.0.1", width)
                part = 1
            conv(f"{path}.{part}.0", width, 1, 3, 3)
            norm(f"{path}.{part}.1", width)
            conv(f"{path}.{part + 1}", out, width, 1, 1)
            norm(f"{path}.{part + 2}", out)
            channels, index = out, index + 1
    conv("features.18.0", 1280, 320, 1, 1)
    norm("features.18.1", 1280)
    shapes["classifier.1.weight"], shapes["classifier.1.bias"] = (1000, 1280), (1000,)
    return shapes


@pytest.fixture(scope="module")
def network():
    study = Study.load("mobilenet_v2")
    return supernet.generate(mobilenet_v2(), torch.zeros(1, *study.model.input_shape), study.space)


def test_state_dict_is_torchvision_s():
    state = mobilenet_v2().state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    assert list(shapes.items()) == list(torchvision_shapes().items())
    assert len(state) == 314
    assert shapes["features.1.conv.0.0.weight"] == (32, 1, 3, 3)
    assert shapes["features.2.conv.1.0.weight"] == (96, 1, 3, 3)
    assert shapes["features.17.conv.2.weight"] == (320, 960, 1, 1)
    assert sum(p.numel() for p in mobilenet_v2().parameters()) == 3_504_872


def test_shortcuts_are_where_shapes_agree():
    blocks = [m for m in mobilenet_v2().features if isinstance(m, InvertedResidual)]
    expected = [index > 0 for _, _, n_blocks, _ in TABLE for index in range(n_blocks)]
    assert [block.has_shortcut for block in blocks] == expected


def test_macs_of_the_maximal_network(network):
    assert network.space.macs(network.space.largest) == 300_774_272


def test_only_the_logits_are_fixed(network):
    fixed = {g.name: g.reason for g in network.space.groups if g.slot is None}
    assert fixed == {"classifier.1": "its channels are the network's output"}


def test_every_block_with_a_shortcut_may_be_dropped_but_one_a_stage(network):
    slots = {s.name: s.choices for s in network.space.slots if s.kind == "depth"}
    assert slots == {
        "features.3.conv depth": (0, 1),
        "features.5.conv depth": (0, 1, 2),
        "features.8.conv depth": (1, 2, 3),
        "features.12.conv depth": (0, 1, 2),
        "features.15.conv depth": (0, 1, 2),
    }


def test_channels_are_coupled_through_shortcuts_and_depthwise_convolutions(network):
    layers = {layer.name: layer for layer in network.space.layers}
    for first, *others in ((2, 3), (4, 5, 6), (7, 8, 9, 10), (11, 12, 13), (14, 15, 16)):
        for other in others:
            assert layers[f"features.{other}.conv.2"].outputs == layers[f"features.{first}.conv.2"].outputs
    for index in range(2, 18):
        depthwise = layers[f"features.{index}.conv.1.0"]
        assert depthwise.in_per_group == 1
        assert depthwise.outputs == layers[f"features.{index}.conv.0.0"].outputs == depthwise.inputs
    widths = [layer.outputs for name, layer in layers.items() if name.endswith("conv.0.0")]
    assert len(set(widths)) == len(widths) == 17


def flat(channels: int, width: int, out_channels: int) -> list[nn.Module]:
    """A block of the original, whose layers all stand in one row."""
    return [
        *((nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width), nn.ReLU6()) if width != channels else ()),
        *(nn.Conv2d(width, width, 3, groups=width), nn.BatchNorm2d(width), nn.ReLU6()),
        *(nn.Conv2d(width, out_channels, 1), nn.BatchNorm2d(out_channels)),
    ]


def test_weights_of_the_original_get_torchvision_s_names(load_benchmark):
    channels, blocks = 32, [nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32))]
    for expansion, out_channels, n, _ in TABLE:
        for _ in range(n):
            block = nn.Module()
            block.conv = nn.Sequential(*flat(channels, expansion * channels, out_channels))
            blocks.append(block)
            channels = out_channels
    original = nn.Module()
    original.features = nn.Sequential(*blocks, nn.Sequential(nn.Conv2d(320, 1280, 1), nn.BatchNorm2d(1280)))
    state = {k: v for k, v in original.state_dict().items() if not k.endswith(("0.bias", "3.bias", "6.bias"))}
    found = load_benchmark("imagenet_mobilenet").renamed(state)
    own = {k: v.shape for k, v in mobilenet_v2().state_dict().items() if not k.startswith("classifier")}
    assert {k: v.shape for k, v in found.items()} == own
