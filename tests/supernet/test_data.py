from __future__ import annotations

import os
import random
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from supernet import OvnasError
from supernet.data import SOURCES, SPLITS, Splits, batches, load_splits, take, training_batches
from supernet.pixels import PixelImages, ShiftedImages, normalised, resized
from tests.supernet.image_studies import study, write_images


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path)


def test_digits_are_split_without_overlap():
    splits = load_splits(study())
    parts = [getattr(splits, name) for name in SPLITS]
    assert [len(part) for part in parts] == [1077, 360, 360]
    images = torch.cat([part.tensors[0] for part in parts])
    assert images.shape == (1797, 3, 16, 16)
    assert images.dtype == torch.float32
    labels = torch.cat([part.tensors[1] for part in parts])
    assert torch.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert len(torch.unique(images.flatten(1), dim=0)) == 1797  # no image is in two splits
    again = load_splits(study())
    assert torch.equal(again.test.tensors[0], splits.test.tensors[0])


OWN_DATA = """
import os
import torch
from torch.utils.data import Dataset, TensorDataset
from supernet.data import Splits


def images(n):
    return TensorDataset(torch.arange(n * 768.0).view(n, 3, 16, 16), torch.arange(n) % 2)


def make():
    return Splits(images(8), images(4), images(6), n_classes=2)


class Where(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.zeros(3, 16, 16), os.getpid()


def make_processes():
    return Splits(Where(), Where(), Where(), n_classes=2)


def make_pair():
    return images(3), images(2)


def make_random():
    parts = torch.utils.data.random_split(images(18), [8, 4, 6])
    return Splits(*parts, n_classes=2)


def make_nothing():
    return Splits(images(8), images(0), images(6), n_classes=2)


def make_error():
    return 1 / 0


class Items(Dataset):
    def __init__(self, item):
        self.item = item

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.item


def make_faulty():
    zeros = torch.zeros(3, 16, 16)
    item = {
        "triple": (zeros, 1, 2),
        "double": (zeros.double(), 1),
        "text": (zeros, "cat"),
        "array": (zeros.numpy(), 1),
    }[os.environ["OVNAS_TESTS_ITEM"]]
    return Splits(images(8), Items(item), images(6), n_classes=2)
"""


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    (tmp_path / "ovnas_tests_data.py").write_text(OWN_DATA)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("ovnas_tests_data", None)


def make_cifar(root, n=20):
    for split, count in (("train", n), ("test", 3)):
        for label in range(2):
            directory = root / split / f"class{label}"
            directory.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (32, 32), (10 * i, 255 * label, len(split))).save(directory / f"{i:04}.png")
    return root


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """The user's cache is left alone."""
    home = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return home


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_keeps_the_contract(source, folder, own_data, tmp_path_factory):
    shape, path = (3, 16, 16), folder
    if source == "cifar10":
        shape, path = (3, 32, 32), make_cifar(tmp_path_factory.mktemp("cifar"))
    splits = load_splits(study(source, path, shape, factory="ovnas_tests_data:make"))
    for name in SPLITS:
        images = getattr(splits, name)
        image, label = images[0]
        assert image.shape == shape
        assert image.dtype == torch.float32
        assert 0 <= int(label) < splits.n_classes
        assert torch.equal(images[0][0], image)
        together, labels = zip(*batches(images, 2), strict=True)
        assert torch.equal(torch.cat(together), torch.stack([image for image, _ in images]))
        assert torch.cat(labels).dtype == torch.int64
        assert torch.cat(labels).tolist() == [int(label) for _, label in images]
    indices = np.array([1, 0, 3, 2])
    keys = [(indices, (0, 5)), (indices, (0, 6))]
    first, second = training_batches(splits.train, keys)
    assert first[0].shape == (4, *shape)
    assert first[1].tolist() == [int(splits.train[i][1]) for i in indices]
    (again,) = training_batches(splits.train, keys[:1])
    assert torch.equal(again[0], first[0])
    if source == "custom":
        assert torch.equal(first[0], second[0])
    elif source == "cifar10":
        assert not torch.equal(first[0], second[0])
    parts = [next(training_batches(splits.train, keys[:1], part)) for part in (slice(0, 1), slice(1, 4))]
    assert torch.equal(torch.cat([x for x, _ in parts]), first[0])


def test_a_path_may_come_from_the_environment(folder, monkeypatch):
    with pytest.raises(OvnasError, match=r"set \[data\] path in the study, or OVNAS_DATA=FOLDER"):
        load_splits(study("folder"))
    monkeypatch.setenv("OVNAS_DATA", str(folder))
    assert len(load_splits(study("folder")).train) == 6
    with pytest.raises(OvnasError, match=r"no .*elsewhere"):
        load_splits(study("folder", folder / "elsewhere"))


@pytest.mark.parametrize("n_workers", [1, 2])
def test_worker_processes_give_the_same_batches(folder, n_workers):
    alone, helped = (load_splits(study("folder", folder, workers=n)) for n in (0, n_workers))
    keys = [(np.array([i, i + 1]), (3, i)) for i in range(4)]
    for one, other in zip(
        training_batches(alone.train, keys), training_batches(helped.train, keys), strict=True
    ):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
    broken = folder / "test" / "class1" / "2.png"
    broken.write_bytes(b"no image")
    with pytest.raises(OvnasError, match=r"^\S*class1/2\.png cannot be read as an image"):
        list(batches(helped.test, 2))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("make_pair", "must return supernet.data.Splits, but gave tuple"),
        ("make_nothing", "its validation split has no images"),
        ("make_error", "failed: division by zero"),
        ("missing", "failed: .*missing"),
    ],
)
def test_faults_of_the_user_s_own_data_are_said(own_data, function, message):
    with pytest.raises(OvnasError, match=message):
        load_splits(study("custom", factory=f"ovnas_tests_data:{function}"))


def test_splits_that_are_drawn_without_a_seed_are_the_same_in_every_command(own_data):
    """Else images that were learned from could be tested on: commands load after other draws."""

    def drawn() -> list[list[int]]:
        splits = load_splits(study("custom", factory="ovnas_tests_data:make_random"))
        return [list(getattr(splits, name).indices) for name in SPLITS]

    before = drawn()
    torch.manual_seed(5)
    following = torch.rand(3)
    torch.manual_seed(5)
    assert drawn() == before
    assert torch.equal(torch.rand(3), following)  # and the command's own draws are left alone
    assert sorted(i for part in before for i in part) == list(range(18))


def test_transforms_of_the_user_s_own_repeat():
    class Noisy(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return torch.randn(3, 2, 2), index

    splits = Splits(Noisy(), Noisy(), Noisy(), n_classes=4)
    keys = [(np.arange(4), (0, 1))]
    (one,), (other,) = training_batches(splits.train, keys), training_batches(splits.train, keys)
    assert torch.equal(one[0], other[0])


def test_digits_move_by_a_sixteenth_at_most():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(64, 3, 16, 32, generator=generator)
    data = ShiftedImages(images, torch.zeros(64))
    moved, _ = data.augmented(np.arange(64), np.random.default_rng(0), slice(None))
    assert moved.shape == images.shape
    seen = set()
    for before, after in zip(images.numpy(), moved.numpy(), strict=True):
        padded = np.pad(before, ((0, 0), (1, 1), (2, 2)), mode="edge")
        places = [
            (y, x)
            for y in range(3)
            for x in range(5)
            if np.array_equal(padded[:, y : y + 16, x : x + 32], after)
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) > 8


def box(mask) -> tuple[slice, slice]:
    """The smallest rectangle that holds all of a mask of shape (H, W)."""
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def test_cifar_crops_flips_and_blanks_a_square():
    generator = np.random.default_rng(1)
    pixels = torch.from_numpy(generator.integers(0, 256, (200, 3, 32, 32), dtype=np.uint8))
    data = PixelImages(pixels, torch.arange(200))
    x, labels = data.augmented(np.arange(200), np.random.default_rng(0), slice(None))
    assert labels.tolist() == list(range(200))
    assert x.is_contiguous(memory_format=torch.channels_last)
    flips, crops, squares = [], set(), set()
    for image, plain in zip(x.numpy(), normalised(pixels), strict=True):
        found = []
        for is_flipped in (False, True):
            padded = np.pad((plain.flip(-1) if is_flipped else plain).numpy(), ((0, 0), (4, 4), (4, 4)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (32, 32), (1, 2))  # (3, 9, 9, 32, 32)
            differs = (windows != image[:, None, None]).any(0)
            for corner in np.argwhere(differs.mean((2, 3)) < 0.1).tolist():
                found.append((is_flipped, *corner, box(differs[*corner])))
        ((is_flipped, top, left, square),) = found  # each is one crop but for the square
        assert not image[:, *square].any()
        flips.append(is_flipped)
        crops.add((top, left))
        squares.add((square[0].start, square[0].stop, square[1].start, square[1].stop))
    assert 70 < sum(flips) < 130
    assert len(crops) > 50
    sides = [(bottom - top, right - left) for top, bottom, left, right in squares]
    assert max(map(max, sides)) == 8
    assert sides.count((8, 8)) > 100  # in the others, zeros around the image are part of it


def test_small_images_are_enlarged_after_augmentation():
    generator = np.random.default_rng(1)
    pixels = torch.from_numpy(generator.integers(0, 256, (8, 3, 32, 32), dtype=np.uint8))
    small, large = PixelImages(pixels, torch.arange(8)), PixelImages(pixels, torch.arange(8), side=96)
    every = np.arange(8)
    for one, other in (
        (small.plain(every), large.plain(every)),
        tuple(data.augmented(every, np.random.default_rng(0), slice(2, 6)) for data in (small, large)),
    ):
        assert other[0].shape[2:] == (96, 96)
        assert torch.equal(other[0], resized(one[0], 96))
        assert torch.equal(one[1], other[1])
    assert torch.equal(large[3][0], large.plain(every)[0][3])


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        ("triple", "an item must be (image, label), but is a tuple"),
        ("double", "an image must be a float32 tensor, but is torch.float64"),
        ("array", "an image must be a float32 tensor, but is ndarray"),
        ("text", "a label must be an integer, but is 'cat'"),
    ],
)
def test_items_of_the_user_s_own_are_looked_at(own_data, monkeypatch, item, fault):
    monkeypatch.setenv("OVNAS_TESTS_ITEM", item)
    with pytest.raises(OvnasError, match=re.escape(f"the first of its validation images: {fault}")):
        load_splits(study("custom", factory="ovnas_tests_data:make_faulty"))


@pytest.mark.parametrize("n_workers", [-1, 0, 1])
def test_the_user_s_own_images_are_made_in_processes_where_asked(own_data, n_workers):
    splits = load_splits(study("custom", factory="ovnas_tests_data:make_processes", workers=n_workers))
    ((_, processes),) = batches(splits.train, 4)
    assert ({os.getpid()} == set(processes.tolist())) == (n_workers < 1)


def test_a_study_without_data_is_refused():
    with pytest.raises(OvnasError, match="has no data"):
        load_splits(study("none"))


def test_an_input_shape_that_images_do_not_have_is_refused(folder):
    with pytest.raises(OvnasError, match=r"input_shape is \[1, 16, 16\], but the image is \[3, 16, 16\]"):
        load_splits(study("folder", folder, shape=(1, 16, 16)))


@pytest.fixture
def numbers() -> TensorDataset:
    values = torch.arange(10)
    return TensorDataset(values.float().view(10, 1, 1, 1), values)


@pytest.mark.parametrize(
    ("n", "expected"), [(1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (10, range(10)), (99, range(10))]
)
def test_take_spreads_evenly(numbers, n, expected):
    assert take(numbers, n).flatten().tolist() == list(expected)


@pytest.mark.parametrize("total", [1, 7, 100, 1077])
def test_take_gives_as_many_as_asked(total):
    images = TensorDataset(torch.arange(total).view(total, 1), torch.zeros(total))
    for n in range(1, total + 1, max(1, total // 9)):
        assert len(set(take(images, n).flatten().tolist())) == n


def test_batches_are_in_order(numbers):
    assert [labels.tolist() for _, labels in batches(numbers, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


class Noisy(TensorDataset):
    """Draws from every global generator, as the transforms of others do."""

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return image + random.random() + np.random.rand() + torch.rand(1), label


def test_what_a_users_transforms_draw_repeats():
    images = Noisy(torch.zeros(6, 3, 4, 4), torch.zeros(6, dtype=torch.int64))
    key = (np.arange(4), (1, 2))
    (one, _), (other, _), (different, _) = training_batches(images, [key, key, (np.arange(4), (1, 3))])
    torch.testing.assert_close(one, other)
    assert not torch.equal(one, different)
    random.seed(5)
    expected = random.random()
    random.seed(5)
    torch.testing.assert_close(take(images, 3), take(images, 3))
    assert random.random() == expected  # nobody else's numbers change
