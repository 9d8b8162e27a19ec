from __future__ import annotations

import dataclasses
import operator
from collections import Counter

import pytest
from torch import nn

from profiling.kernel import Kernel

CONVOLUTION = Kernel("Convolution", 2, 8, 10, 10, 12, 5, 5, 3, 3, 8, 1, 1, "u8", "u8")


def test_macs_of_a_kernel():
    assert CONVOLUTION.macs == 2 * 12 * 5 * 5 * 8 * 9
    upward = dataclasses.replace(CONVOLUTION, kind="Deconvolution")  # each input pixel meets the whole kernel
    assert upward.macs == 2 * 12 * 10 * 10 * 8 * 9
    assert Kernel("Pooling", 1, 8, 4, 4, 8, 2, 2, 1, 1, 0, 1, 1, "u8", "u8").macs == 0


def test_kernels_are_the_modules_that_torch_runs(specimen, compile_kernels, rng):
    """Every convolution and linear layer of the extracted network, by its shapes."""
    for architecture in (specimen.network.space.largest, specimen.network.space.sample(rng)):
        expected: Counter = Counter()
        for module in specimen.network.extract(architecture).modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                seen = module.in_channels // module.groups
                expected[(module.in_channels, module.out_channels, seen, *module.kernel_size)] += 1
            elif isinstance(module, nn.Linear):
                expected[(module.in_features, module.out_features, module.in_features, 1, 1)] += 1
        found = Counter(
            (k.in_channels, k.out_channels, k.in_per_group, k.kernel_height, k.kernel_width)
            for k in (item.kernel for item in compile_kernels(architecture))
            if k.macs
        )
        assert found == expected


def test_macs_of_the_kernels_are_those_of_the_space(specimen, compile_kernels, rng):
    space = specimen.network.space
    for architecture in (space.largest, space.smallest, space.sample(rng)):
        macs = sum(item.kernel.macs for item in compile_kernels(architecture))
        assert macs == specimen.batch * space.macs(architecture)


def normalised_in_groups(specimen) -> int:
    """In how many, 0 for none."""
    norms = [m for m in specimen.network.modules() if isinstance(m, nn.GroupNorm)]
    return norms[0].num_groups if norms else 0


def test_kernels_read_what_earlier_ones_write(specimen, compile_kernels):
    kernels = compile_kernels(specimen.network.space.largest)
    assert kernels[0].sources == (-1,)
    pieces: dict[int, dict[int, int]] = {}  # by split and output: channels that are read
    for place, item in enumerate(kernels):
        assert len(item.sources) == item.kernel.n_inputs
        assert all(source < place for source in item.sources)
        if item.sources[0] >= 0:
            source = kernels[item.sources[0]]
            if source.kernel.kind == "Split":
                pieces.setdefault(item.sources[0], {})[item.port] = item.in_shape[1]
            else:
                assert source.out_shape == item.in_shape
            assert source.kernel.out_precision == item.kernel.in_precision
        assert item.exec_type
        if normalised_in_groups(specimen):  # by moving the groups into the batch
            assert item.kernel.batch in (specimen.batch, specimen.batch * normalised_in_groups(specimen))
        else:
            assert item.kernel.batch == specimen.batch
    for split, channels in pieces.items():
        assert sum(channels.values()) == kernels[split].in_shape[1]
    assert {i for item in kernels for i in item.sources} == set(range(-1, len(kernels) - 1))


def test_the_network_runs_in_int8(specimen, compile_kernels):
    """An addition, fused or not, reads two kernels: one in each residual block."""
    kernels = [item.kernel for item in compile_kernels(specimen.network.space.largest)]
    assert {k.in_precision for k in kernels if k.macs} <= {"u8", "i8"}
    additions = sum(node.target is operator.add for node in specimen.network.module.graph.nodes)
    assert bool(additions) == bool(specimen.network.runs)
    # A normalisation that the plugin takes apart subtracts the mean, and a concatenation reads two kernels.
    apart = any(isinstance(m, (nn.LayerNorm, nn.GroupNorm)) for m in specimen.network.modules())
    if not apart:
        assert sum(k.n_inputs == 2 for k in kernels) == additions


@pytest.mark.parametrize("field", ["in_channels", "out_precision", "n_fused"])
def test_kernels_differ_by_every_field(field):
    value = getattr(CONVOLUTION, field)
    other = dataclasses.replace(CONVOLUTION, **{field: value + 1 if isinstance(value, int) else "f32"})
    assert other != CONVOLUTION
    assert len({CONVOLUTION, other, dataclasses.replace(CONVOLUTION)}) == 2
