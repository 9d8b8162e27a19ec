"""Images and labels: three fixed splits of one source."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from supernet.errors import OvnasError
from supernet.study import Study

__all__ = ["Splits", "batches", "load_splits", "take"]

Images = Dataset[Any]
SPLITS = ("train", "validation", "test")
# torchvision's ImageNet normalisation, for images scaled to 0..1.
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


@dataclass(frozen=True)
class Splits:
    """Datasets of (image of shape (C, H, W) float32, label int64). `test` is used for the last word only."""

    train: Images
    validation: Images
    test: Images
    n_classes: int


def load_splits(study: Study) -> Splits:
    """The study's data. Raises OvnasError if it has none or its folder is not as it must be."""
    channels, height, width = study.model.input_shape
    source = SOURCES.get(study.data.name)
    if source is None:
        raise OvnasError(
            f"study {study.name!r} has no data: give its [data] name = 'folder' and the path of images"
        )
    splits = source(study, (channels, height, width))
    image, _ = splits.train[0]
    if tuple(image.shape) != (channels, height, width):
        raise OvnasError(
            f"study {study.name!r}: [model] input_shape is {[channels, height, width]}, but its images "
            f"are {list(image.shape)}"
        )
    return splits


def batches(
    images: Images, batch_size: int, *, generator: torch.Generator | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches in order, or shuffled (and a last partial one dropped) if a generator is given."""
    shuffle = generator is not None
    loader = DataLoader(
        images, batch_size=batch_size, shuffle=shuffle, generator=generator, drop_last=shuffle
    )
    yield from loader


def take(images: Images, n: int) -> Tensor:
    """Up to `n` images spread evenly over the dataset, shape (n, C, H, W)."""
    total = len(images)  # type: ignore[arg-type]
    chosen = np.unique(np.linspace(0, total - 1, min(n, total)).round().astype(int))
    return torch.stack([images[int(i)][0] for i in chosen])


def _digits(study: Study, shape: tuple[int, int, int]) -> Splits:
    """scikit-learn's 1,797 scanned digits, 8x8 px, upsampled; 60/20/20 %, in a fixed random order."""
    from sklearn.datasets import load_digits

    source = load_digits()
    images = torch.from_numpy(source.images).float().unsqueeze(1) / 16 - 0.3
    images = torch.nn.functional.interpolate(
        images, size=shape[1:], mode="bilinear", align_corners=False
    ).repeat(1, shape[0], 1, 1)
    labels = torch.from_numpy(source.target).long()
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))
    bounds = [0, 1077, 1437, len(labels)]
    train, validation, test = (
        TensorDataset(images[order[a:b]], labels[order[a:b]]) for a, b in itertools.pairwise(bounds)
    )
    return Splits(train, validation, test, n_classes=10)


def _folder(study: Study, shape: tuple[int, int, int]) -> Splits:
    root = Path(study.data.path).expanduser()
    for split in SPLITS:
        if not (root / split).is_dir():
            raise OvnasError(f"[data] path must hold {', '.join(SPLITS)}/; there is no {root / split}")
    classes = sorted(p.name for p in (root / "train").iterdir() if p.is_dir())
    for split in SPLITS[1:]:
        unknown = {p.name for p in (root / split).iterdir() if p.is_dir()} - set(classes)
        if unknown:
            raise OvnasError(f"{root / split} has classes that train/ has not: {', '.join(sorted(unknown))}")
    if len(classes) < 2:
        raise OvnasError(f"{root / 'train'} must hold one folder a class, but has {len(classes)}")
    train, validation, test = (ImageFolder(root / split, classes, shape) for split in SPLITS)
    return Splits(train, validation, test, n_classes=len(classes))


class ImageFolder(Dataset[tuple[Tensor, Tensor]]):
    """Images in one folder a class; short side to 8/7 of the input, centre crop, normalised."""

    def __init__(self, root: Path, classes: list[str], shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self.items: list[tuple[Path, int]] = []
        for label, name in enumerate(classes):
            folder = root / name
            files = sorted(p for p in folder.glob("*") if not p.name.startswith("."))
            foreign = [p for p in files if p.suffix.lower() not in SUFFIXES]
            if foreign:
                raise OvnasError(f"{foreign[0]} is none of {', '.join(sorted(SUFFIXES))}; move it away")
            if not files:
                raise OvnasError(f"{folder} has no images of class {name!r}")
            self.items.extend((path, label) for path in files)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        path, label = self.items[index]
        _, height, width = self.shape
        try:
            with Image.open(path) as file:
                image = file.convert("RGB")
        except (OSError, UnidentifiedImageError) as error:
            raise OvnasError(f"{path} cannot be read as an image: {error}") from None
        if image.size != (width, height):
            scale = max(width / image.width, height / image.height) * 8 / 7
            size = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
            image = image.resize(size, Image.Resampling.BILINEAR)
            left, top = (image.width - width) // 2, (image.height - height) // 2
            image = image.crop((left, top, left + width, top + height))
        pixels = torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1)
        return (pixels - MEAN) / DEVIATION, torch.tensor(label)


SOURCES: dict[str, Callable[[Study, tuple[int, int, int]], Splits]] = {
    "digits": _digits,
    "folder": _folder,
}
