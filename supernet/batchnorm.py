"""BatchNorm statistics of one sub-network.

A sub-network's activations are not the super-network's: with the shared statistics its accuracy is
close to chance. Averages are exact over the samples given, not running ones (Yu & Huang, "Universally
Slimmable Networks", ICCV 2019, section 3.3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["reestimate"]


def reestimate(module: nn.Module, images: Tensor, *, batch_size: int = 128) -> int:
    """Sets the statistics of every BatchNorm in `module` from `images`, shape (n, C, H, W).

    Each batch is normalised by its own statistics; the stored mean and variance are those of all
    samples together. Returns n. The module is left in evaluation mode.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    sums: dict[nn.Module, list[Tensor | int]] = {}

    def record(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].detach().double()
        axes = [d for d in range(x.ndim) if d != 1]
        total, squares, n = sums.get(norm, [0, 0, 0])
        sums[norm] = [total + x.sum(axes), squares + x.square().sum(axes), n + x.numel() // x.shape[1]]

    module.eval()
    handles = [norm.register_forward_pre_hook(record) for norm in norms]
    try:
        for norm in norms:
            norm.train()
        saved = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 0.0
        # A last batch that is much smaller would be normalised by poor statistics of its own.
        n_batches = max(1, len(images) // batch_size)
        with torch.no_grad():
            for batch in torch.tensor_split(images, n_batches):
                module(batch)
        for norm, momentum in zip(norms, saved, strict=True):
            norm.momentum = momentum
    finally:
        for handle in handles:
            handle.remove()
        module.eval()
    for norm, (total, squares, n) in sums.items():
        assert isinstance(norm, _BatchNorm) and norm.running_mean is not None
        assert norm.running_var is not None
        mean = total / n
        variance = (squares / n - mean**2).clamp_min(0) * (n / max(1, n - 1))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
    return len(images)
