from __future__ import annotations

import dataclasses
import io
import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import nn
from torch.utils.data import TensorDataset

import supernet
from supernet import OvnasError, Space, SpaceSection
from supernet.batchnorm import Reestimator, reestimate
from supernet.checks import check, counted_macs
from supernet.data import batches
from supernet.outline import outline, print_outline
from supernet.pixels import PixelImages, resized
from supernet.resized import images_of
from supernet.sandwich import StageSpace, stages_of
from supernet.study import StageSection, TrainSection


@pytest.fixture
def space(sized_network) -> Space:
    return sized_network.space


def at_each(space: Space, seed: int = 0):
    """A random architecture at each resolution."""
    rng = np.random.default_rng(seed)
    return [dataclasses.replace(space.sample(rng), resolution=(side,)) for side in space.resolutions]


def test_the_space_has_one_more_slot(space, make_tiny_network):
    slot = space.slots[-1]
    assert (slot.kind, slot.choices) == ("resolution", (16, 20, 24))
    assert space.largest.resolution == (24,)
    assert space.smallest.resolution == (16,)
    without = make_tiny_network((0.5, 1.0)).space
    assert space.slots[:-1] == without.slots
    assert space.log10_size == pytest.approx(without.log10_size + np.log10(3))


def test_round_trips(space, rng):
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    for architecture in (space.sample(rng) for _ in range(20)):
        assert space.decode(space.encode(architecture)) == architecture
        assert supernet.Architecture.parse(str(architecture)) == architecture
        assert again.macs(architecture) == space.macs(architecture)
        assert str(architecture).endswith(f"_r{space.resolution(architecture)}")


@pytest.mark.parametrize(("sides", "message"), [((), "too short"), ((18,), "must be one of 16, 20, 24")])
def test_other_sides_are_no_members(space, sides, message):
    other = dataclasses.replace(space.largest, resolution=sides)
    for use in (space.encode, space.resolution):
        with pytest.raises(OvnasError, match=message):
            use(other)


def test_without_resolutions_nothing_is_said_of_them(tiny_network):
    space = tiny_network.space
    assert "resolution" not in json.dumps(space.to_json())
    assert "positions_at" not in json.dumps(space.to_json())
    assert space.resolutions == ()
    assert space.largest.resolution == ()


def test_what_must_be_true_is(make_tiny_resnet, randomise):
    """Of a network of its own, for its channels are shuffled."""
    example, model = torch.randn(1, 3, 24, 24), randomise(make_tiny_resnet())
    section = SpaceSection(width=(0.5, 1.0), divisor=4, resolution=(16, 21))
    network = supernet.generate(model, example, section)
    assert network.space.resolutions == (16, 21, 24)
    assert check(network, model(example), example, n=3).faults == ()


def test_an_activated_network_sees_smaller_images(sized_network, sized_images, space):
    """By another way than the network's own: the images made smaller, and the module that is extracted."""
    whole = dataclasses.replace(sized_network.space.largest, resolution=(24,))
    for architecture in [whole, *at_each(space)]:
        side = architecture.resolution[0]
        smaller = F.interpolate(sized_images, (side, side), mode="bilinear", antialias=True)
        expected, macs = counted_macs(sized_network.extract(architecture), (smaller,))
        with torch.no_grad(), sized_network.activated(architecture):
            actual = sized_network(sized_images)
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)
        assert space.macs(architecture) == macs
        assert torch.equal(images_of(space, architecture, sized_images), smaller) or side == 24
    assert images_of(space, whole, sized_images) is sized_images


def test_macs_fall_with_the_resolution(space):
    small, middle, large = (
        space.macs(dataclasses.replace(space.largest, resolution=(side,))) for side in space.resolutions
    )
    assert small < middle < large


class Strange(nn.Module):
    """`end` maps what a convolution has made of the image to the output."""

    def __init__(self, end, **parts: nn.Module) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 1)
        self.end = end
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.end(self, torch.relu(self.head(torch.relu(self.conv(x)))))


@pytest.mark.parametrize(
    ("model", "sides", "reasons"),
    [
        (
            Strange(lambda self, x: self.fc(x.flatten(1)), fc=nn.Linear(8 * 64, 5)),
            (16,),
            {12: r"Linear \(fc\) fails: ", 8: r"Linear \(fc\) fails: "},
        ),
        (
            Strange(lambda self, x: x),
            (16,),
            {8: "output would have the shape", 12: "output would have the shape"},
        ),
        (
            Strange(lambda self, x: F.adaptive_avg_pool2d(x, 4).flatten(1)),
            (8, 12, 16),
            {},
        ),
        (
            Strange(lambda self, x: F.avg_pool2d(x, 5).mean((2, 3))),
            (12, 16),
            {8: "avg_pool2d fails: "},
        ),
        (
            Strange(lambda self, x: x.mean(2).split(4, 2)[0].mean(2)),
            (12, 16),
            {8: "split gives other tensors"},
        ),
    ],
)
def test_sides_that_the_layers_do_not_allow_are_fixed(model, sides, reasons):
    network = supernet.generate(model.eval(), torch.randn(1, 3, 16, 16), SpaceSection(resolution=(8, 12)))
    assert network.space.resolutions == (sides if len(sides) > 1 else ())
    assert network.fixed_resolutions.keys() == reasons.keys()
    found = outline(network, torch.randn(1, 3, 16, 16))
    for side, reason in reasons.items():
        said = network.fixed_resolutions[side]
        assert re.match(reason, said)
        assert any(f.reason == said and f"{side} px" in f.what for f in found.fixed)
    out = Console(file=io.StringIO(), width=400)
    print_outline(found, "strange", out)
    assert out.file.getvalue().count(" px): ") == len(reasons)
    with torch.no_grad():
        network(torch.randn(2, 3, 16, 16))


@pytest.mark.parametrize("shape", [(1, 3, 12, 16), (1, 3, 12)])
def test_models_without_one_square_image_are_refused(shape):
    model = nn.Conv2d(3, 8, 3) if len(shape) == 4 else nn.Conv1d(3, 8, 3)
    with pytest.raises(OvnasError, match="one square image"):
        supernet.generate(model, torch.randn(shape), SpaceSection(resolution=(8,)))


def test_a_side_beyond_the_models_own_is_refused():
    with pytest.raises(OvnasError, match="own 16 px"):
        supernet.generate(nn.Conv2d(3, 8, 3), torch.randn(1, 3, 16, 16), SpaceSection(resolution=(32,)))


def test_the_models_own_side_alone_is_no_choice(tiny_images):
    network = supernet.generate(nn.Conv2d(3, 8, 3), tiny_images[:1], SpaceSection(resolution=(12,)))
    assert network.space.resolutions == ()
    assert network.fixed_resolutions == {}


def test_datasets_are_resized_in_batches_and_one_by_one(space, sized_images):
    labels = torch.arange(8)
    pixels = torch.randint(256, (8, 3, 24, 24), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    for images in (TensorDataset(sized_images, labels), PixelImages(pixels, labels)):
        smaller = images_of(space, space.smallest, images)
        assert len(smaller) == 8
        found = list(batches(smaller, 3))
        torch.testing.assert_close(torch.cat([y for _, y in found]), labels)
        whole = torch.cat([x for x, _ in batches(images, 8)])
        torch.testing.assert_close(torch.cat([x for x, _ in found]), resized(whole, 16))
        torch.testing.assert_close(smaller[5][0], resized(whole, 16)[5])
        assert images_of(space, space.largest, images) is images


def test_a_smaller_image_keeps_its_mean():
    """Pixels are averaged, not skipped: without, fine stripes would become all of one colour."""
    stripes = torch.arange(24).remainder(2).float().expand(1, 1, 24, 24)
    small = resized(stripes, 8)
    assert small.mean() == pytest.approx(0.5, abs=1e-4)
    assert small[..., 2:-2].std() < 0.2


def test_statistics_are_those_of_the_resolution(sized_network, sized_images, space):
    smallest = space.smallest
    module = Reestimator(sized_network, sized_images).extract(smallest)
    expected = sized_network.extract(smallest)
    reestimate(expected, resized(sized_images, 16))
    wrong = sized_network.extract(smallest)
    reestimate(wrong, sized_images)
    found, right, other = (m.state_dict()["bn1.running_var"] for m in (module, expected, wrong))
    torch.testing.assert_close(found, right)
    assert not torch.allclose(found, other, rtol=1e-3)


@pytest.mark.parametrize("opened", ["depth", "width"])
def test_resolutions_are_open_in_every_stage(space, rng, opened):
    stage = StageSpace(space, StageSection((opened,), 1, 0.1))
    assert stage.smallest.resolution == (16,)
    assert stage.largest.resolution == (24,)
    assert {stage.sample(rng).resolution for _ in range(40)} == {(16,), (20,), (24,)}
    assert len(stages_of(space, TrainSection())) == 1
