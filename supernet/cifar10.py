"""CIFAR-10 (Krizhevsky 2009) from image folders or the official binary batches.

The images are decoded once and kept in memory; those of a folder also in a file of the user's cache
folder. The last tenth of each class of the training images, in the order of file names, validates.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from supernet.errors import OvnasError
from supernet.folder import class_folders, image_files, read_image
from supernet.pixels import PixelImages

__all__ = ["load_cifar10"]

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
SIDE = 32
BYTES_PER_IMAGE = 3 * SIDE * SIDE
TRAIN_BATCHES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST_BATCH = "test_batch.bin"
VALIDATION_SHARE = 0.1


def load_cifar10(root: Path, side: int = SIDE) -> tuple[PixelImages, PixelImages, PixelImages, int]:
    """Training, validation and test images, resized to `side` px, and the number of classes. Raises
    OvnasError for a folder that is not as it must be, naming the file."""
    if not root.is_dir():
        raise OvnasError(f"[data] path must be the folder of CIFAR-10, but there is no {root}")
    for folder in (root, root / "cifar-10-batches-bin"):
        if (folder / TEST_BATCH).is_file():
            parts = _binary(folder)
            return *_split(*parts, side), 10
    if any(p.name in ("data_batch_1", "cifar-10-batches-py") for p in root.iterdir()):
        raise OvnasError(
            f"{root} holds the Python version of CIFAR-10, whose pickles are not read; take the binary "
            "version (cifar-10-binary.tar.gz)"
        )
    test = next((name for name in ("test", "val") if (root / name).is_dir()), "test")
    classes = class_folders(root, ("train", test))
    files = {split: [image_files(root / split / name) for name in classes] for split in ("train", test)}
    return *_split(*_decoded(root, files["train"], files[test]), side), len(classes)


def _split(
    train: Pixels, labels: Labels, test: Pixels, test_labels: Labels, side: int
) -> tuple[PixelImages, PixelImages, PixelImages]:
    validates = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        validates[own[len(own) - max(1, round(VALIDATION_SHARE * len(own))) :]] = True

    def images(pixels: Pixels, labels: Labels) -> PixelImages:
        return PixelImages(torch.from_numpy(pixels), torch.from_numpy(labels), side)

    return (
        images(train[~validates], labels[~validates]),
        images(train[validates], labels[validates]),
        images(test, test_labels),
    )


def _binary(folder: Path) -> tuple[Pixels, Labels, Pixels, Labels]:
    """Records of one label byte and 3,072 of pixels, as the data's own page describes them."""
    parts = []
    for name in (*TRAIN_BATCHES, TEST_BATCH):
        path = folder / name
        if not path.is_file():
            raise OvnasError(f"a batch of CIFAR-10 is missing: there is no {path}")
        content = np.fromfile(path, dtype=np.uint8)
        if len(content) == 0 or len(content) % (BYTES_PER_IMAGE + 1):
            raise OvnasError(f"{path} must hold records of {BYTES_PER_IMAGE + 1} bytes; it is damaged")
        records = content.reshape(-1, BYTES_PER_IMAGE + 1)
        if records[:, 0].max() > 9:
            raise OvnasError(f"{path} has the label {records[:, 0].max()}, but must have 0 to 9")
        parts.append(records)
    train = np.concatenate(parts[:-1])
    found: list[NDArray[np.generic]] = []
    for records in (train, parts[-1]):
        found += [
            np.ascontiguousarray(records[:, 1:]).reshape(-1, 3, SIDE, SIDE),
            records[:, 0].astype(np.int64),
        ]
    return tuple(found)  # type: ignore[return-value]


def _decoded(
    root: Path, train: list[list[Path]], test: list[list[Path]]
) -> tuple[Pixels, Labels, Pixels, Labels]:
    cache = _cache_file(root, [*train, *test])
    try:
        with np.load(cache, allow_pickle=False) as kept:
            return kept["train"], kept["train_labels"], kept["test"], kept["test_labels"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        pass  # there is none yet, or only a damaged one
    pixels, labels = _decode(train)
    test_pixels, test_labels = _decode(test)
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        partial = cache.with_name(f"{cache.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                np.savez(
                    file,
                    allow_pickle=False,
                    train=pixels,
                    train_labels=labels,
                    test=test_pixels,
                    test_labels=test_labels,
                )
            os.replace(partial, cache)
        finally:
            partial.unlink(missing_ok=True)
    except OSError:
        pass  # without a cache they are decoded at every start
    return pixels, labels, test_pixels, test_labels


def _decode(classes: list[list[Path]]) -> tuple[Pixels, Labels]:
    pixels = np.empty((sum(map(len, classes)), 3, SIDE, SIDE), dtype=np.uint8)
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in classes])
    for index, path in enumerate(path for files in classes for path in files):
        image = read_image(path)
        if image.size != (SIDE, SIDE):
            raise OvnasError(f"{path} must have {SIDE}x{SIDE} px, but has {image.width}x{image.height}")
        pixels[index] = np.asarray(image).transpose(2, 0, 1)
    return pixels, labels


def _cache_file(root: Path, classes: list[list[Path]]) -> Path:
    """Its name changes with the name, size or time of any file."""
    key = hashlib.sha256(str(root.resolve()).encode())
    for files in classes:
        for path in files:
            status = path.stat()
            key.update(f"{path.parent.name}/{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "ovnas" / f"cifar10-{key.hexdigest()[:16]}.npz"
