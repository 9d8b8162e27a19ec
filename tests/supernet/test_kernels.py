from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import supernet
from supernet import SpaceSection
from supernet.kernels import crop_kernel, kernel_choices


@pytest.mark.parametrize(
    ("module", "choices", "word"),
    [
        (nn.Conv2d(4, 4, 7, padding=3), (3, 5, 7), ""),
        (nn.Conv2d(4, 4, 5, padding=4, dilation=2, groups=4), (3, 5), ""),
        (nn.Conv2d(4, 4, 5, padding="same"), (3, 5), ""),
        (nn.Conv2d(4, 4, (1, 7), padding=(0, 3)), (3, 5, 7), ""),
        (nn.Conv1d(4, 4, 9, padding=4), (3, 5, 9), ""),
        (nn.Conv2d(3, 4, 11, stride=4, padding=3), (5, 11), ""),
        (nn.Conv2d(4, 4, 3, padding=1), (), ""),
        (nn.Conv2d(4, 4, 1), (), ""),
        (nn.Conv2d(4, 4, 5), (), "padding 0x0 is less"),
        (nn.Conv2d(4, 4, 4, padding=1), (), "no centre"),
        (nn.Conv2d(4, 4, 5, padding=2, padding_mode="reflect"), (), "'reflect'"),
        (nn.Conv3d(4, 4, 5, padding=2), (), "one- and two-dimensional"),
        (nn.ConvTranspose2d(4, 4, 5, padding=2), (), "one- and two-dimensional"),
    ],
)
def test_sides_that_a_kernel_may_have(module, choices, word):
    found, reason = kernel_choices(module, (3, 5))
    assert found == choices
    assert word in reason
    assert bool(reason) == bool(word)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": 3},
        {"padding": 3, "stride": 2},
        {"padding": 6, "dilation": 2, "groups": 4},
        {"padding": "same"},
    ],
)
def test_a_cropped_kernel_is_the_whole_one_with_a_border_of_zeros(options):
    torch.manual_seed(0)
    whole, small = nn.Conv2d(4, 4, 7, **options), nn.Conv2d(4, 4, 7, **options)
    small.load_state_dict(whole.state_dict())
    crop_kernel(small, 3)
    assert small.kernel_size == (3, 3)
    with torch.no_grad():
        border = F.pad(torch.ones(3, 3), (2, 2, 2, 2))
        whole.weight *= border
        x = torch.randn(2, 4, 13, 14)
        torch.testing.assert_close(small(x), whole(x))
    assert small.weight.shape[2:] == (3, 3)


def network_of(kernel, **options):
    model = nn.Sequential(nn.Conv2d(3, 8, 7, padding=3), nn.ReLU(), nn.Conv2d(8, 4, 5, padding=2))
    section = SpaceSection(width=(1.0,), kernel=kernel, **options)
    return supernet.generate(model, torch.randn(1, 3, 8, 8), section)


def test_kernels_are_part_of_the_space():
    space = network_of((3, 5)).space
    assert [(slot.name, slot.kind, slot.choices) for slot in space.slots] == [
        ("0 kernel", "kernel", (3, 5, 7)),
        ("2 kernel", "kernel", (3, 5)),
    ]
    assert str(space.smallest) == "w_k3-3"
    assert space.macs(space.largest) == 64 * (3 * 8 * 49 + 8 * 4 * 25)
    assert space.macs(space.smallest) == 64 * (3 * 8 * 9 + 8 * 4 * 9)
    assert type(space).from_json(space.to_json()) == space


def test_kernels_stay_unless_asked_for():
    space = network_of(()).space
    assert space.slots == ()
    assert all("kernel_slot" not in layer for layer in space.to_json()["layers"])


def test_kernels_that_stay_say_why():
    network = network_of((9,))
    assert network.fixed_kernels == {
        "0": "no side asked for is below its 7",
        "2": "no side asked for is below its 5",
    }
    assert network_of((3,), exclude=("2",)).fixed_kernels == {"2": "it is excluded"}
