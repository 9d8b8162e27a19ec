"""The four published sub-networks of Intel's open submission to MLPerf Inference v2.0, from their IRs."""

from __future__ import annotations

import pytest
import torch

import supernet
from supernet import Architecture, OvnasError, Study
from supernet.models.resnet import resnet50

PUBLISHED = {
    "TV": (64, (256, 512, 1024, 2048), ((64,) * 3, (128,) * 4, (256,) * 6, (512,) * 3), 4089184256),
    "A": (40, (168, 336, 816, 1640), ((32,) * 2, (64,) * 3, (160,) * 5, (408,) * 2), 1385835904),
    "B": (48, (208, 512, 1024, 2048), ((40,) * 2, (104,) * 3, (208,) * 5, (512,) * 2), 2419929088),
    "C": (
        48,
        (168, 336, 816, 2048),
        ((40, 32), (88, 64, 88), (160, 160, 208, 160, 208, 208), (512, 512)),
        1919774720,
    ),
}
N_BLOCKS = (3, 4, 6, 3)


def make_divisible(value: float) -> int:
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


def architecture(stem, outs, mids) -> Architecture:
    """Each block's ratio is the one that gives its published inner width; a stage's first block, which has
    the stride, cannot be dropped and is not counted by the depth."""
    expand = []
    for out, widths, n in zip(outs, mids, N_BLOCKS, strict=True):
        for width in (*widths, *(None,) * (n - len(widths))):
            ratios = [e for e in (0.2, 0.25) if width in (None, make_divisible(round(out * e)))]
            expand.append(ratios[-1])
    return Architecture((stem, *outs), tuple(expand), tuple(len(widths) - 1 for widths in mids))


@pytest.fixture(scope="module")
def network():
    study = Study.load("resnet50")
    return supernet.generate(resnet50(), torch.zeros(1, *study.model.input_shape), study.space)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_are_members(network, name):
    stem, outs, mids, macs = PUBLISHED[name]
    space = network.space
    member = architecture(stem, outs, mids)
    assert space.decode(space.encode(member)) == member
    assert space.macs(member) == macs
    units = dict(zip((group.name for group in space.groups), space.units(member), strict=True))
    assert units["conv1"] == stem
    for stage, (out, widths) in enumerate(zip(outs, mids, strict=True), start=1):
        assert units[f"layer{stage}.0.conv3"] == out
        for block, width in enumerate(widths):
            for conv in (1, 2):
                assert units[f"layer{stage}.{block}.conv{conv}"] == width


@pytest.mark.parametrize("name", ["A", "C"])
def test_published_widths_are_those_of_the_extracted_module(network, name):
    stem, outs, mids, _ = PUBLISHED[name]
    shapes = {
        n: tuple(v.shape) for n, v in network.extract(architecture(stem, outs, mids)).state_dict().items()
    }
    before = stem
    for stage, (out, widths) in enumerate(zip(outs, mids, strict=True), start=1):
        for block, width in enumerate(widths):
            path = f"layer{stage}.{block}"
            assert shapes[f"{path}.conv1.weight"] == (width, before, 1, 1)
            assert shapes[f"{path}.conv2.weight"] == (width, width, 3, 3)
            assert shapes[f"{path}.conv3.weight"] == (out, width, 1, 1)
            before = out
        assert f"layer{stage}.{len(widths)}.conv1.weight" not in shapes
    assert shapes["fc.weight"] == (1000, outs[-1])


def test_the_space_is_the_submission_s(network):
    space = network.space
    assert space.largest == architecture(*PUBLISHED["TV"][:3])
    kinds = [slot.kind for slot in space.slots]
    assert (kinds.count("depth"), kinds.count("width"), kinds.count("expand")) == (4, 5, 16)
    expected = 3**5
    for n in N_BLOCKS:
        expected *= 2 ** (n - 1) + 2**n
    assert 10**space.log10_size == pytest.approx(expected)


def test_a_narrower_stem_is_no_member(network):
    _, outs, mids, _ = PUBLISHED["A"]
    with pytest.raises(OvnasError, match="'conv1' is 32, but must be one of 40, 48, 64"):
        network.space.encode(architecture(32, outs, mids))
