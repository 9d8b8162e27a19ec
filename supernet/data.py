"""Images and labels: three fixed splits of one source, and the batches that training sees."""

from __future__ import annotations

import importlib
import itertools
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from supernet.errors import OvnasError
from supernet.folder import ImageFolder, class_folders
from supernet.pixels import DEVIATION, MEAN, Batch, Indices, ShiftedImages
from supernet.spread import evenly_spread
from supernet.study import DATA_VARIABLE, DataSection, Study

__all__ = [
    "DEVIATION",
    "MEAN",
    "SOURCES",
    "SPLITS",
    "Splits",
    "batches",
    "load_splits",
    "stacked",
    "take",
    "training_batches",
]

Images = Dataset[Any]
SPLITS = ("train", "validation", "test")
MOST_WORKERS = 4


@dataclass(frozen=True)
class Splits:
    """Datasets of (image of shape (C, H, W) float32, label int64). `test` is used for the last word only.

    A dataset gives its images as they are judged. One that can augment has a method
    `augmented(indices, rng, part)`, which gives a part of a batch as it is trained on.
    """

    train: Images
    validation: Images
    test: Images
    n_classes: int


@runtime_checkable
class Augmenting(Protocol):
    """A dataset that makes whole batches to train on."""

    def augmented(self, indices: Indices, rng: np.random.Generator, part: slice) -> Batch:
        """The `part` of the batch of `indices`; all random numbers of the batch are drawn."""


@runtime_checkable
class Gathering(Protocol):
    """A dataset that gives many images at once."""

    def plain(self, indices: Indices) -> Batch:
        """These images as they are judged."""


def load_splits(study: Study) -> Splits:
    """The study's data. Raises OvnasError if it has none or its folder is not as it must be."""
    channels, height, width = study.model.input_shape
    source = SOURCES.get(study.data.name)
    if source is None:
        raise OvnasError(
            f"study {study.name!r} has no data: give its [data] name = 'folder' and the path of images, or "
            "leave training out, for this needs none:",
            command="profiling.collect",
        )
    splits = source(study.data, (channels, height, width))
    for name in SPLITS:
        try:
            _require_item(getattr(splits, name)[0], (channels, height, width))
        except OvnasError as error:
            raise OvnasError(f"study {study.name!r}, the first of its {name} images: {error}") from None
    return splits


def _require_item(item: Any, shape: tuple[int, int, int]) -> None:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise OvnasError(f"an item must be (image, label), but is a {type(item).__name__}")
    image, label = item
    if not isinstance(image, Tensor) or image.dtype != torch.float32:
        kind = image.dtype if isinstance(image, Tensor) else type(image).__name__
        raise OvnasError(f"an image must be a float32 tensor, but is {kind}")
    if tuple(image.shape) != shape:
        raise OvnasError(f"[model] input_shape is {list(shape)}, but the image is {list(image.shape)}")
    try:
        int(label)
    except (TypeError, ValueError):
        raise OvnasError(f"a label must be an integer, but is {label!r}") from None


def batches(images: Images, batch_size: int) -> Iterator[Batch]:
    """Batches in order, as they are judged."""
    total = len(images)  # type: ignore[arg-type]
    chunks = [np.arange(start, min(start + batch_size, total)) for start in range(0, total, batch_size)]

    def make(indices: Indices) -> Batch:
        if isinstance(images, Gathering):
            return images.plain(indices)
        return stacked([images[int(i)] for i in indices])

    yield from _loaded(images, make, chunks)


def training_batches(
    images: Images, keys: Sequence[tuple[Indices, tuple[int, ...]]], part: slice = slice(None)
) -> Iterator[Batch]:
    """A batch, or this process's part of it, for each key: the images' indices and the seed of what is
    random about them."""

    def make(key: tuple[Indices, tuple[int, ...]]) -> Batch:
        indices, seed = key
        rng = np.random.default_rng(seed)
        if isinstance(images, Augmenting):
            return images.augmented(indices, rng, part)
        with _drawing_from(int(rng.integers(2**63))):
            return stacked([images[int(i)] for i in indices[part]])

    yield from _loaded(images, make, keys)


def stacked(items: Sequence[tuple[Tensor, Any]]) -> Batch:
    """One batch of single images and labels."""
    return torch.stack([image for image, _ in items]), torch.tensor([int(label) for _, label in items])


def _loaded(images: Images, make: Callable[[Any], Batch], keys: Sequence[Any]) -> Iterator[Batch]:
    """`make` of each key, in the worker processes of a dataset that has an `n_workers`."""
    n_workers = min(len(keys), getattr(images, "n_workers", 0))
    loader = DataLoader(
        _Made(make),
        sampler=keys,
        batch_size=None,
        num_workers=n_workers,
        multiprocessing_context="fork" if n_workers else None,  # others cannot be handed `make`
    )
    for batch in loader:
        if isinstance(batch, OvnasError):
            raise batch
        yield batch


class _Made(Dataset[Any]):
    """Whole batches by their keys, so that worker processes have nothing to agree on."""

    def __init__(self, make: Callable[[Any], Batch]) -> None:
        self.make = make

    def __getitem__(self, key: Any) -> Batch | OvnasError:
        try:
            return self.make(key)
        except OvnasError as error:  # raised in a worker, it would come wrapped in the worker's traceback
            return error


def take(images: Images, n: int) -> Tensor:
    """Up to `n` images spread evenly over the dataset, shape (n, C, H, W), the same ones each time."""
    with _drawing_from(0):
        return torch.stack([images[i][0] for i in evenly_spread(len(images), n)])  # type: ignore[arg-type]


@contextmanager
def _drawing_from(seed: int) -> Iterator[None]:
    """Within it, what transforms of the user's own draw from global generators depends on `seed` alone."""
    own, legacy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(own)
        np.random.set_state(legacy)


def data_path(section: DataSection) -> Path:
    """Where the images lie. Raises OvnasError if nothing says it."""
    path = section.path or os.environ.get(DATA_VARIABLE, "")
    if not path:
        raise OvnasError(
            f"[data] name = {section.name!r} needs the folder of its images: set [data] path in the study, "
            f"or {DATA_VARIABLE}=FOLDER in the environment"
        )
    return Path(path).expanduser()


def n_workers(section: DataSection) -> int:
    """Processes that decode images."""
    if section.workers >= 0:
        return section.workers
    return min(MOST_WORKERS, len(os.sched_getaffinity(0)))


def _digits(_section: DataSection, shape: tuple[int, int, int]) -> Splits:
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
    parts = [(images[order[a:b]], labels[order[a:b]]) for a, b in itertools.pairwise(bounds)]
    train, validation, test = parts
    return Splits(ShiftedImages(*train), TensorDataset(*validation), TensorDataset(*test), n_classes=10)


def _cifar10(section: DataSection, shape: tuple[int, int, int]) -> Splits:
    from supernet.cifar10 import load_cifar10

    return Splits(*load_cifar10(data_path(section), shape[1]))


def _folder(section: DataSection, shape: tuple[int, int, int]) -> Splits:
    root = data_path(section)
    held_out = "val" if (root / "val").is_dir() and not (root / "validation").is_dir() else "validation"
    has_test = (root / "test").is_dir() or not (root / held_out).is_dir()
    names = ("train", held_out, "test") if has_test else ("train", held_out)
    classes = class_folders(root, names)
    images = [ImageFolder(root / name, classes, shape, n_workers(section)) for name in names]
    train, validation, test = images if has_test else (images[0], *images[1].halves())
    return Splits(train, validation, test, n_classes=len(classes))


def _custom(section: DataSection, _shape: tuple[int, int, int]) -> Splits:
    """What the user's own function returns. Where it draws by generators without a seed of their own, it
    draws the same in every command: else images that were learned from could be tested on."""
    module_name, _, function = section.factory.partition(":")
    try:
        factory: Any = importlib.import_module(module_name)
        for part in function.split("."):
            factory = getattr(factory, part)
        with _drawing_from(0):
            splits = factory()
    except OvnasError:
        raise
    except Exception as error:
        raise OvnasError(f"[data] factory {section.factory!r} failed: {error}") from error
    if not isinstance(splits, Splits):
        raise OvnasError(
            f"[data] factory {section.factory!r} must return supernet.data.Splits, but gave "
            f"{type(splits).__name__}"
        )
    for name in SPLITS:
        images = getattr(splits, name)
        if not hasattr(images, "__len__") or len(images) == 0:
            raise OvnasError(f"[data] factory {section.factory!r}: its {name} split has no images")
        if section.workers > 0 and not hasattr(images, "n_workers"):
            images.n_workers = section.workers
    return splits


_NORMALISED = "RGB, scaled to 0..1, minus ({}), divided by ({})".format(
    *(", ".join(f"{v:g}" for v in values.flatten().tolist()) for values in (MEAN, DEVIATION))
)
# What is done to an image before a network sees it.
PREPROCESSING = {
    "digits": "8 x 8 px of 0..16, divided by 16, minus 0.3, bilinear to the input, in each channel",
    "cifar10": f"{_NORMALISED}, bilinear to the input (of 32 px: as it is)",
    "folder": "short side to 8/7 of the input (bilinear), centre crop (of the input's own size: neither), "
    + _NORMALISED,
    "custom": "as the study's [data] factory gives it",
}

SOURCES: dict[str, Callable[[DataSection, tuple[int, int, int]], Splits]] = {
    "digits": _digits,
    "cifar10": _cifar10,
    "folder": _folder,
    "custom": _custom,
}
