from __future__ import annotations

import copy
import dataclasses
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

import supernet
from supernet import OvnasError, SpaceSection
from supernet.checks import counted_macs


def slots(network, kind):
    return {slot.name: slot.choices for slot in network.space.slots if slot.kind == kind}


def test_the_caller_s_model_is_not_changed(make_tiny_resnet, randomise, tiny_images):
    model = randomise(make_tiny_resnet()).train()
    before = copy.deepcopy(model.state_dict())
    network = supernet.generate(model, tiny_images)
    network.order_channels()
    with torch.no_grad():
        for value in network.parameters():
            value.zero_()
        network.train()(tiny_images)
    assert model.training
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_frozen_model_s_super_network_is_trainable(make_tiny_resnet, tiny_images):
    model = make_tiny_resnet().requires_grad_(False)
    network = supernet.generate(model, tiny_images)
    small = network.extract(network.space.smallest)
    for parts, is_trainable in ((model, False), (network, True), (small, True)):
        assert {p.requires_grad for p in parts.parameters()} == {is_trainable}


def test_state_dict_names_stay(make_tiny_resnet, tiny_network):
    names = set(make_tiny_resnet().state_dict())
    assert set(tiny_network.module.state_dict()) == names
    assert set(tiny_network.extract(tiny_network.space.largest).state_dict()) == names


def test_slots_of_free_groups(make_tiny_network):
    network = make_tiny_network()
    assert slots(network, "width") == {
        "conv1": (4, 8, 16),
        "layer2.0.conv2": (8, 12, 24),
        "layer1.0.conv1": (4, 8, 16),
        "layer1.1.conv1": (4, 8),
        "layer2.0.conv1": (4, 8, 16),
        "layer2.1.conv1": (8, 12, 24),
    }
    assert list(slots(network, "depth").values()) == [(0, 1, 2), (0, 1)]
    assert slots(network, "expand") == {}


def test_slots_of_expand_ratios(make_tiny_network):
    network = make_tiny_network(width=(0.5, 1.0), expand=(0.25, 0.5, 0.75), max_dropped=1)
    assert slots(network, "width") == {"conv1": (8, 16), "layer2.0.conv2": (12, 24)}
    assert slots(network, "expand") == {
        "layer1.0 expand": (0.25, 0.5, 0.75, 1.0),
        "layer1.1 expand": (0.25, 0.5),
        "layer2.0 expand": (0.25, 0.5, pytest.approx(16 / 24)),
        "layer2.1 expand": (0.25, 0.5, 0.75, 1.0),
    }
    assert list(slots(network, "depth").values()) == [(1, 2), (0, 1)]


@pytest.mark.parametrize("max_dropped", [-1, 0, 1, 5])
def test_max_dropped(make_tiny_network, max_dropped):
    got = list(slots(make_tiny_network(max_dropped=max_dropped), "depth").values())
    dropped = {-1: 9, 0: 0, 1: 1, 5: 5}[max_dropped]
    expected = [tuple(range(max(0, n - dropped), n + 1)) for n in (2, 1)]
    assert got == [choices for choices in expected if len(choices) > 1]


def test_excluded_layers_stay_and_so_do_their_blocks(make_tiny_network):
    network = make_tiny_network(exclude=("layer1.*", "layer2.1.conv1"))
    reasons = {group.name: group.reason for group in network.space.groups if group.slot is None}
    assert reasons["conv1"] == "layer1.0.conv2 is excluded"  # they add to one stream
    assert reasons["layer1.0.conv1"] == "layer1.0.conv1 is excluded"
    assert set(slots(network, "width")) == {"layer2.0.conv1", "layer2.0.conv2"}
    assert slots(network, "depth") == {}


def test_an_excluded_layer_that_is_none_is_refused(make_tiny_network):
    with pytest.raises(OvnasError, match=r"'layer1.0.conv3'; did you mean 'layer1.0.conv[12]'\?"):
        make_tiny_network(exclude=("layer1.0.conv3",))


def test_a_group_keeps_its_least_channels(make_tiny_network):
    network = make_tiny_network(min_channels=12)
    assert slots(network, "width")["conv1"] == (12, 16)
    assert {g.name: g.reason for g in network.space.groups if g.slot is None}["layer1.1.conv1"] == (
        "8 channels have no narrower choice at divisor 4 and at least 12 channels"
    )


@pytest.mark.parametrize("divisor", [1, 3, 8, 64])
def test_widths_follow_the_divisor(make_tiny_network, divisor):
    network = make_tiny_network(width=(0.25, 0.4, 1.0), divisor=divisor)
    whole = {group.name: group.n_units for group in network.space.groups}
    for name, choices in slots(network, "width").items():
        assert choices[-1] == whole[name]
        assert all(choice % divisor == 0 for choice in choices[:-1])
    if divisor == 64:
        assert slots(network, "width") == {}
        assert {g.reason for g in network.space.groups if "no narrower choice" in g.reason}


def test_a_shared_layer_is_counted_at_each_call(zoo, randomise, tiny_images):
    network = supernet.generate(randomise(zoo["shared_layer"]()), tiny_images, SpaceSection(divisor=4))
    assert [layer.name for layer in network.space.layers] == ["first.0", "mid.0", "mid.0", "last"]
    (slot,) = network.space.slots
    assert slot.name == "first.0"


class Folded(nn.Module):
    """A linear layer over bundles of positions, which a view has put into the batch (as MobileViT does)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.linear, self.last = nn.Conv2d(3, 16, 1), nn.Linear(16, 8), nn.Linear(8, 4)

    def forward(self, x):
        x = self.first(x).permute(0, 2, 3, 1)
        b, h, w, c = x.shape
        x = self.linear(x.reshape(b * h, w, c))
        return self.last(x.reshape(b, h * w, 8).mean(1))


def test_macs_of_layers_with_more_than_images_in_their_batch():
    network = supernet.generate(Folded(), torch.zeros(2, 3, 4, 6))
    space = network.space
    assert space.macs(space.largest) == 4 * 6 * (3 * 16 + 16 * 8) + 8 * 4
    module = network.extract(space.largest)
    assert counted_macs(module, (torch.zeros(2, 3, 4, 6),))[1] == space.macs(space.largest)


@pytest.mark.parametrize(("divisor", "step"), [(8, 24), (16, 48), (64, 192)])
def test_bundles_of_channels_follow_the_divisor(divisor, step):
    """Of a grouped convolution with 24 channels a group: whole groups, in multiples of the divisor."""
    model = nn.Sequential(
        *(nn.Conv2d(3, 384, 1), nn.Conv2d(384, 384, 1, groups=16), nn.Conv2d(384, 5, 1)),
    )
    options = supernet.SpaceSection(width=tuple(i / 16 for i in range(1, 17)), divisor=divisor)
    network = supernet.generate(model, torch.zeros(1, 3, 2, 2), options)
    slot = next(slot for slot in network.space.slots if slot.kind == "width")
    assert {24 * units % step for units in slot.choices} == {0}


def test_fixed_models_have_one_architecture():
    network = supernet.generate(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), torch.zeros(1, 3, 2, 2))
    assert network.space.log10_size == 0
    assert network.space.macs(network.space.largest) == 36


@pytest.mark.slow
def test_the_space_does_not_depend_on_the_hash_seed():
    code = (
        "import torch, supernet\n"
        "from supernet.models.resnet import resnet_digits\n"
        "net = supernet.generate(resnet_digits(), torch.zeros(1, 3, 32, 32))\n"
        "print(net.space.fingerprint)"
    )
    prints = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    ]
    assert prints[0] == prints[1] != ""


class Repeated(nn.Module):
    """One block three times over: each run of it may be dropped, its layers belong to all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.a, self.b = nn.Conv2d(16, 32, 1), nn.Conv2d(32, 16, 1)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for _ in range(3):
            x = x + self.b(torch.relu(self.a(x)))
        return self.head(x.mean((2, 3)))


def test_the_width_of_a_layer_in_several_blocks_belongs_to_the_first(tiny_images):
    network = supernet.generate(Repeated().eval(), tiny_images, SpaceSection(width=(0.25, 1.0)))
    space = network.space
    (inner,) = [slot for slot in space.slots if slot.name == "a"]
    assert (inner.block.slot, inner.block.position) == (0, 0)  # without the first, none is there
    narrow = dataclasses.replace(space.largest, depth=(1,))
    widths = [slot.name for slot in space.slots if slot.kind == "width"]
    narrow = dataclasses.replace(
        narrow, width=tuple(8 if n == "a" else w for n, w in zip(widths, narrow.width, strict=True))
    )
    assert space.decode(space.encode(narrow)) == narrow
    assert network.extract(narrow).a.out_channels == 8


def test_instances_statistics_stay_whole(tiny_images):
    layers = nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.InstanceNorm2d(32, track_running_stats=True), nn.ReLU(),
        nn.Conv2d(32, 32, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5),
    )  # fmt: skip
    space = supernet.generate(layers.eval(), tiny_images).space
    reasons = {group.name: group.reason for group in space.groups}
    assert "keeps running statistics of instances" in reasons["0"]
    assert reasons["3"] == ""
