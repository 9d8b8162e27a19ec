from __future__ import annotations

import pytest
import torch

from supernet.models import resnet


def norm(path: str) -> list[str]:
    kinds = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return [f"{path}.{kind}" for kind in kinds]


def expected_names(n_blocks, n_convs, *, first_has_downsample):
    names = ["conv1.weight", *norm("bn1")]
    for stage, depth in enumerate(n_blocks, start=1):
        for block in range(depth):
            path = f"layer{stage}.{block}"
            for conv in range(1, n_convs + 1):
                names += [f"{path}.conv{conv}.weight", *norm(f"{path}.bn{conv}")]
            if block == 0 and (stage > 1 or first_has_downsample):
                names += [f"{path}.downsample.0.weight", *norm(f"{path}.downsample.1")]
    return [*names, "fc.weight", "fc.bias"]


@pytest.mark.parametrize(
    ("factory", "n_blocks", "n_convs", "n_parameters"),
    [
        (resnet.resnet18, (2, 2, 2, 2), 2, 11_689_512),
        (resnet.resnet50, (3, 4, 6, 3), 3, 25_557_032),
        (resnet.resnet_digits, (3, 3, 3), 2, None),
    ],
)
def test_state_dict_names_are_torchvision_s(factory, n_blocks, n_convs, n_parameters):
    model = factory()
    names = expected_names(n_blocks, n_convs, first_has_downsample=n_convs == 3)
    assert sorted(model.state_dict()) == sorted(names)
    if n_parameters is not None:  # as torchvision's documentation gives them
        assert sum(p.numel() for p in model.parameters()) == n_parameters


def test_resnet50_has_its_stride_on_the_3x3_convolution():
    block = resnet.resnet50().layer2[0]
    strides = [conv.stride for conv in (block.conv1, block.conv2, block.conv3, block.downsample[0])]
    assert strides == [(1, 1), (2, 2), (1, 1), (2, 2)]


@pytest.mark.parametrize(
    ("factory", "size", "n_classes"),
    [(resnet.resnet_digits, 32, 10), (resnet.resnet18, 64, 7)],
)
def test_output_shape(factory, size, n_classes):
    with torch.no_grad():
        assert factory(n_classes).eval()(torch.zeros(2, 3, size, size)).shape == (2, n_classes)
