from __future__ import annotations

import pytest
import torch

import supernet
from supernet import Study
from supernet.models.resnet9 import ResNet9, resnet9_cifar10


@pytest.fixture(scope="module")
def network():
    study = Study.load("cifar10")
    return supernet.generate(resnet9_cifar10(), torch.zeros(1, *study.model.input_shape), study.space)


def test_macs_are_equal_in_every_layer_of_a_stage_and_in_every_stage(network):
    stage = 2 * 9 * 32 * 32 * 32 * 64  # one at full size, two at half the side and twice as wide
    assert network.space.macs(network.space.largest) == 9 * 32 * 32 * 3 * 32 + 3 * stage + 256 * 10
    assert network.space.macs(network.space.smallest) < network.space.macs(network.space.largest) / 5


def test_the_block_of_every_stage_may_be_dropped_and_only_the_logits_are_fixed(network):
    depths = {slot.name: slot.choices for slot in network.space.slots if slot.kind == "depth"}
    assert depths == {f"stages.{stage}.blocks.0 depth": (0, 1) for stage in range(3)}
    assert [group.name for group in network.space.groups if group.slot is None] == ["head"]


def test_output_shape():
    model = ResNet9(stem=4, widths=(8, 16), n_blocks=(2, 0), n_classes=7).eval()
    with torch.no_grad():
        assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
