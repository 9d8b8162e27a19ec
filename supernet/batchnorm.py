"""BatchNorm statistics of one sub-network.

A sub-network's activations are not the super-network's: with the shared statistics its accuracy is
close to chance. Averages are exact over the samples given, not running ones (Yu & Huang, "Universally
Slimmable Networks", ICCV 2019, section 3.3).
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from supernet.architecture import Architecture
from supernet.elastic import ElasticNetwork
from supernet.resized import images_of

__all__ = ["Reestimator", "reestimate"]


def reestimate(module: nn.Module, images: Tensor, *, batch_size: int = 128) -> int:
    """Sets the statistics of every BatchNorm in `module` from `images`, shape (n, C, H, W).

    Each batch is normalised by its own statistics; the stored mean and variance are those of all
    samples together. Returns n. The module is left in evaluation mode.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    sums: dict[nn.Module, tuple[Tensor, Tensor, int]] = {}

    def record(norm: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """With a momentum of 1 a BatchNorm's statistics are the batch's own, which it has just computed."""
        n = output.numel() // output.shape[1]
        mean, unbiased = (value.double() for value in _statistics(norm))
        zero = torch.zeros_like(mean)
        total, squares, n_before = sums.get(norm, (zero, zero, 0))
        squares = squares + (n - 1) * unbiased + n * mean.square()
        sums[norm] = (total + n * mean, squares, n_before + n)

    module.eval()
    handles = [norm.register_forward_hook(record) for norm in norms]
    before = [(norm.momentum, [value.clone() for value in _statistics(norm)]) for norm in norms]
    found: dict[nn.Module, list[Tensor]] = {}
    try:
        for norm in norms:
            norm.reset_running_stats()  # a damaged one would stay so
            norm.train()
            norm.momentum = 1.0
        with torch.no_grad():
            for batch in torch.tensor_split(images, max(1, len(images) // batch_size)):
                module(batch)
        for one, (total, squares, n) in sums.items():
            mean = total / n
            found[one] = [mean, (squares / n - mean**2).clamp_min(0) * (n / max(1, n - 1))]
    finally:
        for norm, handle, (momentum, earlier) in zip(norms, handles, before, strict=True):
            handle.remove()
            norm.momentum = momentum
            for value, new in zip(_statistics(norm), found.get(norm, earlier), strict=True):
                value.copy_(new)
        module.eval()
    return len(images)


def _statistics(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Mean and variance of a BatchNorm that has them."""
    assert isinstance(norm, _BatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


class Reestimator:
    """Extracts sub-networks with statistics of their own, from always the same `images`.

    The statistics of the last `n_kept` architectures are kept: asking again for one is as cheap as
    extracting it. The super-network must not be trained on meanwhile.
    """

    def __init__(self, network: ElasticNetwork, images: Tensor, *, n_kept: int = 4096) -> None:
        self.network, self.n_kept = network, n_kept
        # Convolutions give what they get: the order that is faster on CPUs, whatever that of the weights.
        self.images = images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images
        self._kept: OrderedDict[Architecture, dict[str, Tensor]] = OrderedDict()

    @property
    def n_samples(self) -> int:
        """Images that the statistics are averages over."""
        return len(self.images)

    def extract(self, architecture: Architecture) -> fx.GraphModule:
        """A plain module of its own, in evaluation mode."""
        module = self.network.extract(architecture)
        buffers = dict(module.named_buffers())
        kept = self._kept.get(architecture)
        if kept is None:
            reestimate(module, images_of(self.network.space, architecture, self.images))
            self._kept[architecture] = {name: value.clone() for name, value in buffers.items()}
            if len(self._kept) > self.n_kept:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(architecture)
            for name, value in kept.items():
                buffers[name].copy_(value)
        return module
