from __future__ import annotations

import pytest
import torch
from torch import nn

from supernet import compute
from supernet.compute import Compute, choose_compute


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )


@pytest.mark.parametrize(("gain", "expected"), [(2.0, "bfloat16"), (1.05, "float32"), (0.5, "float32")])
def test_bfloat16_is_taken_where_it_is_clearly_faster(monkeypatch, gain, expected):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    seconds = {"float32": 1.0, "bfloat16": 1 / gain}
    monkeypatch.setattr(compute, "_step_s", lambda c, _module, _images: seconds[c.precision])
    assert choose_compute("auto", model(), torch.zeros(4, 3, 8, 8)) == Compute("cpu", expected)


def test_timing_does_not_change_the_module():
    module = model()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for precision in ("float32", "bfloat16"):
        assert compute._step_s(Compute("cpu", precision), module, torch.randn(4, 3, 8, 8)) > 0
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    assert choose_compute("bfloat16", module, torch.zeros(4, 3, 8, 8)).precision == "bfloat16"


def test_autocast_computes_in_the_precision():
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with Compute("cpu", precision).autocast():
            assert (torch.ones(4, 4) @ torch.ones(4, 4)).dtype == dtype


def test_images_and_weights_lie_channels_last():
    chosen = Compute()
    assert chosen.images(torch.zeros(2, 3, 4, 4)).is_contiguous(memory_format=torch.channels_last)
    assert chosen.images(torch.zeros(2, 5)).shape == (2, 5)
    module = chosen.module(model())
    assert module[0].weight.is_contiguous(memory_format=torch.channels_last)
