from __future__ import annotations

import pytest
import torch

import supernet
from search.published import BASELINE, load_published, member_of
from supernet import OvnasError, SpaceSection, Study
from supernet.models.resnet import resnet50


@pytest.fixture(scope="module")
def space():
    study = Study.load("resnet50")
    return supernet.generate(resnet50(), torch.zeros(1, *study.model.input_shape), study.space).space


def test_the_published_table():
    published = load_published()
    assert list(published) == ["TV", "A", "B", "C"]
    base = published[BASELINE]
    ratios = [round(published[n].offline_sps / base.offline_sps, 3) for n in "ABC"]
    assert ratios == [2.554, 1.435, 1.893]
    assert published["A"].mids == ((32, 32), (64, 64, 64), (160, 160, 160, 160, 160), (408, 408))


@pytest.mark.parametrize("name", ["TV", "A", "B", "C"])
def test_members_of_the_submission_s_space(space, name):
    published = load_published()[name]
    found = member_of(space, published)
    assert space.macs(found) == published.macs
    units = dict(zip((group.name for group in space.groups), space.units(found), strict=True))
    assert units["conv1"] == published.stem
    for stage, mids in enumerate(published.mids, start=1):
        for block, mid in enumerate(mids):
            assert units[f"layer{stage}.{block}.conv2"] == mid


def test_the_baseline_is_the_largest(space):
    assert member_of(space, load_published()[BASELINE]) == space.largest


def test_another_space_has_no_such_member():
    options = SpaceSection(width=(0.5, 1.0), divisor=8, max_dropped=1)
    small = supernet.generate(resnet50(), torch.zeros(1, 3, 64, 64), options).space
    with pytest.raises(OvnasError, match="this space has no A: conv1 is never 40"):
        member_of(small, load_published()["A"])
