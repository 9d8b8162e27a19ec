"""The images that an architecture takes: those of the study, at the architecture's own resolution."""

from __future__ import annotations

from typing import Any, overload

import torch
from torch import Tensor
from torch.utils.data import Dataset

from supernet.architecture import Architecture
from supernet.data import Gathering, stacked
from supernet.pixels import Batch, Indices, resized
from supernet.space import Space

__all__ = ["ResizedImages", "images_of"]


@overload
def images_of(space: Space, architecture: Architecture, images: Tensor) -> Tensor: ...
@overload
def images_of(space: Space, architecture: Architecture, images: Dataset[Any]) -> Dataset[Any]: ...
def images_of(
    space: Space, architecture: Architecture, images: Tensor | Dataset[Any]
) -> Tensor | Dataset[Any]:
    """`images`, shape (B, C, H, W) or a dataset of them, as an extracted module of the architecture takes
    them: the very same where the space has no resolutions to choose."""
    side = space.resolution(architecture)
    if side is None or side == space.resolutions[-1]:
        return images
    return resized(images, side) if isinstance(images, Tensor) else ResizedImages(images, side)


class ResizedImages(Dataset[Batch]):
    """A dataset's images as they are judged, at side x side px."""

    def __init__(self, images: Dataset[Any], side: int) -> None:
        self.images, self.side = images, side
        self.n_workers: int = getattr(images, "n_workers", 0)

    def __len__(self) -> int:
        return len(self.images)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Batch:
        image, label = self.images[index]
        return resized(image[None], self.side)[0], torch.as_tensor(label)

    def plain(self, indices: Indices) -> Batch:
        """These images, shape (B, C, side, side)."""
        if isinstance(self.images, Gathering):
            x, labels = self.images.plain(indices)
        else:
            x, labels = stacked([self.images[int(i)] for i in indices])
        return resized(x, self.side), labels
