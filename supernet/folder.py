"""Images in folders, one folder a class, decoded when they are needed."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from supernet.errors import OvnasError
from supernet.pixels import Batch, Indices, normalised

__all__ = ["ImageFolder", "class_folders", "image_files", "read_image"]

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


def class_folders(root: Path, splits: Iterable[str]) -> list[str]:
    """The sorted names of the classes, which every split must have. The first split defines them."""
    first, *others = splits
    for split in (first, *others):
        if not (root / split).is_dir():
            names = ", ".join(f"{name}/" for name in (first, *others))
            raise OvnasError(f"[data] path must hold {names}; there is no {root / split}")
    classes = sorted(p.name for p in (root / first).iterdir() if p.is_dir())
    if len(classes) < 2:
        raise OvnasError(f"{root / first} must hold one folder a class, but has {len(classes)}")
    for split in others:
        theirs = {p.name for p in (root / split).iterdir() if p.is_dir()}
        if theirs - set(classes):
            unknown = ", ".join(sorted(theirs - set(classes)))
            raise OvnasError(f"{root / split} has classes that {first}/ has not: {unknown}")
        if set(classes) - theirs:
            missing = sorted(set(classes) - theirs)
            raise OvnasError(f"class {missing[0]!r} is missing: there is no {root / split / missing[0]}")
    return classes


def image_files(folder: Path) -> list[Path]:
    """The image files of one class, sorted by name. Raises OvnasError for none, and for other files."""
    files = sorted(p for p in folder.glob("*") if not p.name.startswith("."))
    foreign = [p for p in files if p.suffix.lower() not in SUFFIXES]
    if foreign:
        raise OvnasError(f"{foreign[0]} is none of {', '.join(sorted(SUFFIXES))}; move it away")
    if not files:
        raise OvnasError(f"{folder} has no images of class {folder.name!r}")
    return files


def read_image(path: Path) -> Image.Image:
    """Decodes one file as RGB. Raises OvnasError with its name if it is no whole image."""
    try:
        with Image.open(path) as file:
            if file.mode.startswith("I;16") or file.mode in ("I", "F"):
                raise ValueError("it has more than 8 bits a channel; convert it to 8")
            return file.convert("RGB")
    except Exception as error:  # decoders raise what they like
        raise OvnasError(
            f"{path} cannot be read as an image: {error}; put a whole one in its place"
        ) from None


class ImageFolder(Dataset[Batch]):
    """Images in one folder a class; short side to 8/7 of the input, centre crop, normalised.

    Augmented by a random crop of a quarter to all of the area, 3:4 to 4:3, resized to the input (the
    crop of Szegedy et al. 2015), and a horizontal flip. `n_workers` processes decode.
    """

    def __init__(
        self, root: Path, classes: list[str], shape: tuple[int, int, int], n_workers: int = 0
    ) -> None:
        self.shape, self.n_workers = shape, n_workers
        self.items = [
            (path, label) for label, name in enumerate(classes) for path in image_files(root / name)
        ]

    def halves(self) -> tuple[ImageFolder, ImageFolder]:
        """Every second image of each class, and the others. Raises OvnasError for a class of one image."""
        first, second = copy.copy(self), copy.copy(self)
        first.items, second.items = [], []
        for _, group in itertools.groupby(self.items, key=lambda item: item[1]):
            own = list(group)
            if len(own) < 2:
                raise OvnasError(
                    f"there is no test/, so that {own[0][0].parent} must hold two images or more: one half "
                    "is for the last word"
                )
            first.items += own[::2]
            second.items += own[1::2]
        return first, second

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Batch:
        path, label = self.items[index]
        _, height, width = self.shape
        image = read_image(path)
        if image.size != (width, height):
            scale = max(width / image.width, height / image.height) * 8 / 7
            size = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
            image = image.resize(size, Image.Resampling.BILINEAR)
            left, top = (image.width - width) // 2, (image.height - height) // 2
            image = image.crop((left, top, left + width, top + height))
        return _tensor(image), torch.tensor(label)

    def augmented(self, indices: Indices, rng: np.random.Generator, part: slice) -> Batch:
        """The `part` of a batch as it is trained on, shape (B, 3, H, W)."""
        seeds = rng.integers(2**63, size=len(indices))
        images = [
            self._random_crop(self.items[i][0], np.random.default_rng(seed))
            for i, seed in zip(indices[part], seeds[part], strict=True)
        ]
        labels = torch.tensor([self.items[i][1] for i in indices[part]])
        return torch.stack(images), labels

    def _random_crop(self, path: Path, rng: np.random.Generator) -> Tensor:
        _, height, width = self.shape
        image = read_image(path)
        area = image.width * image.height * rng.uniform(0.25, 1)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w = min(image.width, max(1, round(math.sqrt(area * ratio))))
        h = min(image.height, max(1, round(math.sqrt(area / ratio))))
        left, top = rng.integers(image.width - w + 1), rng.integers(image.height - h + 1)
        box = (int(left), int(top), int(left) + w, int(top) + h)
        image = image.resize((width, height), Image.Resampling.BILINEAR, box=box)
        if rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return _tensor(image)


def _tensor(image: Image.Image) -> Tensor:
    return normalised(torch.from_numpy(np.array(image)).permute(2, 0, 1))
