"""Pixels: normalisation, augmentation, and images kept decoded in memory.

Every random choice of a batch is drawn from one generator for the whole batch, and then only a part of
the images is made: so that processes that share a batch see what one process would.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

__all__ = ["DEVIATION", "MEAN", "PixelImages", "ShiftedImages", "normalised", "resized"]

# torchvision's ImageNet normalisation, for images scaled to 0..1.
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
CROP_PADDING = 4
CUTOUT = 8  # side in px

Batch = tuple[Tensor, Tensor]
Indices = NDArray[np.int64]


def normalised(pixels: Tensor) -> Tensor:
    """Pixels of shape (..., 3, H, W), 0 to 255, as float32."""
    return (pixels.float() / 255 - MEAN) / DEVIATION


def resized(images: Tensor, side: int) -> Tensor:
    """Images of shape (B, C, H, W) at side x side px: bilinear over the area that a pixel covers, as the
    folders' images are made smaller."""
    if images.shape[-2:] == (side, side):
        return images
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=True)


class PixelImages(Dataset[Batch]):
    """Small images as uint8 of shape (n, 3, H, W), and their labels; given at `side` x `side` px, or in their
    own size.

    Augmented, before they are resized, by a random crop out of the normalised image with 4 px of zeros around
    it, a horizontal flip (He et al. 2016, section 4.2) and zeros in a square of 8 px ("cutout", DeVries &
    Taylor 2017).
    """

    def __init__(self, pixels: Tensor, labels: Tensor, side: int | None = None) -> None:
        self.pixels, self.labels = pixels, labels
        self.side = pixels.shape[2] if side is None else side

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Batch:
        return self._sized(normalised(self.pixels[index])[None])[0], self.labels[index]

    def plain(self, indices: Indices) -> Batch:
        """These images without augmentation, shape (B, 3, side, side)."""
        x, labels = self._chosen(indices)
        return self._sized(x), labels

    def augmented(self, indices: Indices, rng: np.random.Generator, part: slice) -> Batch:
        """The `part` of a batch as it is trained on, shape (B, 3, side, side), channels last in memory."""
        B = len(indices)
        flips = torch.from_numpy(rng.random(B) < 0.5)[part]
        corners = torch.from_numpy(rng.integers(0, 2 * CROP_PADDING + 1, (2, B)))[:, part]
        last = self.pixels.shape[2] - CUTOUT
        holes = torch.from_numpy(rng.integers(0, last + 1, (2, B)))[:, part]
        x, labels = self._chosen(indices[part])
        x[flips] = x[flips].flip(-1)
        padded = F.pad(x, (CROP_PADDING,) * 4)
        rows = corners[0, :, None] + torch.arange(x.shape[2])
        columns = corners[1, :, None] + torch.arange(x.shape[3])
        images = torch.arange(len(x))[:, None, None]
        cropped = padded[images, :, rows[:, :, None], columns[:, None, :]]  # (B, H, W, 3)
        hole = torch.arange(CUTOUT)
        cropped[images, (holes[0, :, None] + hole)[:, :, None], (holes[1, :, None] + hole)[:, None, :]] = 0
        return self._sized(cropped.permute(0, 3, 1, 2)), labels

    def _chosen(self, indices: Indices) -> Batch:
        chosen = torch.from_numpy(indices)
        return normalised(self.pixels[chosen]), self.labels[chosen]

    def _sized(self, x: Tensor) -> Tensor:
        return resized(x, self.side)


class ShiftedImages(TensorDataset):
    """Images of shape (n, C, H, W) that are augmented by a move of up to a sixteenth of their size, edges
    repeated; no flip, for what is drawn has a left and a right."""

    def augmented(self, indices: Indices, rng: np.random.Generator, part: slice) -> Batch:
        """The `part` of a batch as it is trained on, shape (B, C, H, W)."""
        x, labels = (tensor[torch.from_numpy(indices[part])] for tensor in self.tensors)
        H, W = x.shape[2:]
        dy, dx = H // 16, W // 16
        tops = rng.integers(0, 2 * dy + 1, len(indices))[part]
        lefts = rng.integers(0, 2 * dx + 1, len(indices))[part]
        padded = F.pad(x, (dx, dx, dy, dy), mode="replicate")
        moved = [padded[i, :, t : t + H, s : s + W] for i, (t, s) in enumerate(zip(tops, lefts, strict=True))]
        return torch.stack(moved), labels
