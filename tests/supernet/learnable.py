"""Images that a small network learns in a few epochs, and what tells its states apart."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import TensorDataset


def separable(n: int = 80, n_classes: int = 5) -> TensorDataset:
    """One class, one bright row."""
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(n) % n_classes
    images = 0.2 * torch.randn(n, 3, 12, 12, generator=generator)
    for i, label in enumerate(labels.tolist()):
        images[i, :, 2 * label : 2 * label + 2] += 1.5
    return TensorDataset(images, labels)


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
