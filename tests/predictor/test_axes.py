from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from predictor import axes
from predictor.axes import axes_of, every_index
from predictor.compiled import CompiledPredictor
from predictor.network import Network
from profiling.plan import Plan
from search.sizes import Sizes
from supernet import OvnasError, SpaceSection
from supernet.generation import generate
from tests.predictor.tabulated import CONDITIONS, Lookup, layers_as_kernels

N_LAYERS = 12


class DenseBlock(nn.Module):
    """Each layer sees the outputs of all before it, as in DenseNet; an add ties two of them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(16 + 16 * i), nn.ReLU(), nn.Conv2d(16 + 16 * i, 16, 3, padding=1))
            for i in range(N_LAYERS)
        )
        self.head = nn.Conv2d(16 * (N_LAYERS + 2), 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = [self.stem(x)]
        for layer in self.layers:
            found.append(layer(torch.cat(found, 1)))
        return self.head(torch.cat([*found, found[1] + found[2]], 1)).mean((2, 3))


@pytest.fixture(scope="module")
def dense():
    torch.manual_seed(0)
    section = SpaceSection(width=(0.25, 0.5, 0.75, 1.0), divisor=4)
    return generate(DenseBlock().eval(), torch.zeros(1, 3, 8, 8), section)


@pytest.fixture
def codes(dense, rng):
    ends = dense.space.encode_all([dense.space.smallest, dense.space.largest])
    return np.concatenate([ends, dense.space.sample_codes(200, rng)])


def test_sums_of_a_long_concatenation_are_few(dense):
    head = dense.space.layers[-1]
    found = axes_of(dense.space, (head.inputs, head.outputs), (None,))
    n_slots = sum(len(axis.slots) for axis in found)
    assert n_slots == N_LAYERS  # two of thirteen widths are tied
    assert math.prod(axis.size for axis in found) <= 3 * (N_LAYERS + 2) + 1


def test_sizes_of_a_dense_block_are_the_spaces(dense, codes):
    sizes = Sizes.of_network(dense)
    np.testing.assert_array_equal(sizes.macs.predict_codes(codes), dense.space.macs_of(codes))
    some = [dense.space.decode(row) for row in codes[:6]]
    expected = [sum(p.numel() for p in dense.extract(a).parameters()) for a in some]
    np.testing.assert_array_equal(sizes.parameters.predict_codes(codes[:6]), expected)


def test_latencies_of_a_dense_block_are_the_uncompiled_sum(dense, codes):
    space = dense.space
    plan = layers_as_kernels(space)
    # What follows a concatenation pixel by pixel has the same channels on both sides.
    same = []
    for one in plan.kernels:
        kernel = replace(one.kernel, kind="Eltwise", out_channels=one.kernel.in_channels)
        same.append(replace(one, kernel=kernel, outputs=one.inputs))
    plan = Plan(space, (*plan.kernels, *same))
    found = CompiledPredictor(plan, Lookup(), CONDITIONS).predict_codes(codes)
    expected = Lookup().predict([Network.planned(plan, space.decode(row), CONDITIONS) for row in codes])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_every_index_is_reached_by_its_codes(dense):
    head = dense.space.layers[-1]
    found = axes_of(dense.space, (head.inputs,), (0,))
    codes = every_index(dense.space, found)
    columns, index = codes.T, np.zeros(len(codes), dtype=np.int64)
    for axis in found:
        index = index * axis.size + axis.index(columns)
    np.testing.assert_array_equal(index, np.arange(len(codes)))


def test_what_cannot_be_listed_is_refused_in_one_line(dense, monkeypatch):
    monkeypatch.setattr(axes, "MOST_ENTRIES", 20)
    with pytest.raises(OvnasError, match=r"a layer depends on 3 choices \(.* fewer widths in \[space\]"):
        Sizes.of_space(dense.space)
