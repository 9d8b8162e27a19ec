"""Mixup: training images that are two images at once (Zhang et al., "mixup: Beyond Empirical Risk
Minimization", ICLR 2018).

A teacher answers what it sees, so that distillation on such images teaches its function where there are no
images, and cannot be learned by heart (Beyer et al., "Knowledge distillation: A good teacher is patient and
consistent", CVPR 2022).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

__all__ = ["Labels", "mixed"]


@dataclass(frozen=True)
class Labels:
    """Of a batch, shape (B,); and `others`, which the images hold too, in a share of 1 - `share`."""

    labels: Tensor
    others: Tensor | None = None
    share: float = 1.0

    def loss(self, loss_of: Callable[[Tensor], Tensor]) -> Tensor:
        """The mean of both, by share."""
        loss = loss_of(self.labels)
        if self.others is None:
            return loss
        return self.share * loss + (1 - self.share) * loss_of(self.others)


def mixed(images: Tensor, labels: Tensor, strength: float, rng: np.random.Generator) -> tuple[Tensor, Labels]:
    """Each image of shape (B, C, H, W) with a share of the one that stands as far from the end of the batch.

    The share is one for the batch, drawn from the beta distribution with `strength` as both its parameters:
    1 is uniform, 0.2 seldom mixes much, 0 leaves the images as they are. Of several processes each mixes its
    own part of a batch.
    """
    if not strength:
        return images, Labels(labels)
    share = float(rng.beta(strength, strength))
    return images * share + images.flip(0) * (1 - share), Labels(labels, labels.flip(0), share)
