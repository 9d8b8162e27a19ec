"""Where and in which precision to train."""

from __future__ import annotations

import contextlib
import copy
import time
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Compute", "choose_compute"]

Precision = Literal["float32", "bfloat16"]
# bfloat16 must be that much faster, or it is not worth its rounding.
LEAST_GAIN = 1.15
N_TIMED = 3


@dataclass(frozen=True)
class Compute:
    """A device, and the precision of convolutions and matrix products on it; weights stay float32."""

    device: str = "cpu"
    precision: Precision = "float32"

    @property
    def exact(self) -> Compute:
        """The same device in float32, for figures that are kept."""
        return Compute(self.device)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Within it, what may be computed in the precision is."""
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device, torch.bfloat16)

    def images(self, x: Tensor) -> Tensor:
        """A batch of images on the device, channels last in memory."""
        x = x.to(self.device, non_blocking=True)
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x

    def module(self, module: nn.Module) -> nn.Module:
        """The module on the device, 4-d weights channels last in memory; changed in place."""
        return module.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def choose_compute(
    wanted: Literal["auto", "float32", "bfloat16"], module: nn.Module, images: Tensor
) -> Compute:
    """CUDA where there is one. "auto" takes bfloat16 where a step of `module` on `images`, shape
    (B, C, H, W), is clearly faster in it; the module is not changed."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted != "auto":
        return Compute(device, wanted)
    if device == "cuda":
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Compute(device, "bfloat16" if has_bfloat16 else "float32")
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return Compute(device, "float32")
    exact, rounded = (_step_s(Compute(device, p), module, images) for p in ("float32", "bfloat16"))
    return Compute(device, "bfloat16" if rounded * LEAST_GAIN < exact else "float32")


def _step_s(compute: Compute, module: nn.Module, images: Tensor) -> float:
    """Seconds of the fastest of a few training steps."""
    module = compute.module(copy.deepcopy(module)).train()
    images = compute.images(images)
    times = []
    for _ in range(1 + N_TIMED):
        start = time.perf_counter()
        with compute.autocast():
            logits = module(images)
        loss = F.cross_entropy(logits.float(), torch.zeros(len(images), dtype=torch.int64))
        torch.autograd.backward(loss)
        times.append(time.perf_counter() - start)
    return min(times[1:])
