"""BatchNorm statistics of one sub-network.

A sub-network's activations are not the super-network's: with the shared statistics its accuracy is
close to chance. Averages are exact over the samples given, not running ones (Yu & Huang, "Universally
Slimmable Networks", ICCV 2019, section 3.3).
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
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

    def record(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].detach().double()
        axes = [d for d in range(x.ndim) if d != 1]
        zero = torch.zeros(x.shape[1], dtype=torch.float64, device=x.device)
        total, squares, n = sums.get(norm, (zero, zero, 0))
        n += x.numel() // x.shape[1]
        sums[norm] = (total + x.sum(axes), squares + x.square().sum(axes), n)

    module.eval()
    handles = [norm.register_forward_pre_hook(record) for norm in norms]
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.train()
            norm.momentum = 0.0
        with torch.no_grad():
            for batch in torch.tensor_split(images, max(1, len(images) // batch_size)):
                module(batch)
    finally:
        for norm, handle, momentum in zip(norms, handles, momenta, strict=True):
            handle.remove()
            norm.momentum = momentum
        module.eval()
    for norm in norms:
        if norm in sums and norm.running_mean is not None and norm.running_var is not None:
            total, squares, n = sums[norm]
            mean = total / n
            norm.running_mean.copy_(mean)
            norm.running_var.copy_((squares / n - mean**2).clamp_min(0) * (n / max(1, n - 1)))
    return len(images)


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

    def extract(self, architecture: Architecture) -> nn.Module:
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
