"""A fixed part of a split, held in memory where it fits."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from supernet.data import batches
from supernet.spread import evenly_spread

__all__ = ["MOST_BYTES", "evenly", "fingerprint"]

# Decoding images for every architecture would take longer than judging it.
MOST_BYTES = 2**29


def evenly(images: Dataset[Any], n: int) -> Dataset[Any]:
    """`n` images spread evenly over the split (all: 0, or more than there are), decoded once if they take no
    more than MOST_BYTES."""
    total = len(images)  # type: ignore[arg-type]
    kept = total if n <= 0 else min(n, total)
    places = evenly_spread(total, kept)
    if kept == total and isinstance(images, TensorDataset):
        return images
    part: Any = images
    if kept < total:
        part = Subset(images, places)
        part.n_workers = getattr(images, "n_workers", 0)
    if not places or images[0][0].numel() * 4 * len(places) > MOST_BYTES:
        return part  # type: ignore[no-any-return]
    pairs = [images[i] for i in places]
    return TensorDataset(
        torch.stack([image for image, _ in pairs]),
        torch.stack([torch.as_tensor(label) for _, label in pairs]),
    )


def fingerprint(images: Dataset[Any], *others: torch.Tensor) -> str:
    """What tells these images from others: a digest of all of them with their labels, and of all of `others`.
    Takes as long as judging one architecture does, without its computing."""
    digest = hashlib.sha256()
    for parts in (*batches(images, 128), others):
        for part in parts:
            digest.update(f"{part.dtype} {tuple(part.shape)}".encode() + part.numpy().tobytes())
    return digest.hexdigest()[:16]
