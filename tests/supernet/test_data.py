from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from supernet import OvnasError, Study
from supernet.data import MEAN, SOURCES, SPLITS, batches, load_splits, take
from supernet.study import DataSection


def study(name="digits", path="", shape=(3, 16, 16)) -> Study:
    base = Study.load("digits")
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, input_shape=shape),
        data=DataSection(name=name, path=str(path)),
    )


@pytest.fixture
def folder(tmp_path):
    for split in SPLITS:
        for label, colour in enumerate([(255, 0, 0), (0, 255, 0)]):
            directory = tmp_path / split / f"class{label}"
            directory.mkdir(parents=True)
            for i, size in enumerate([(40, 20), (16, 16), (9, 30)]):
                Image.new("RGB", size, colour).save(directory / f"{i}.png")
    return tmp_path


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


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_keeps_the_contract(source, folder):
    splits = load_splits(study(source, folder))
    for name in SPLITS:
        image, label = getattr(splits, name)[0]
        assert image.shape == (3, 16, 16)
        assert image.dtype == torch.float32
        assert label.dtype == torch.int64
        assert torch.equal(getattr(splits, name)[0][0], image)


def test_folder_labels_follow_the_sorted_class_names(folder):
    splits = load_splits(study("folder", folder))
    assert [int(label) for _, label in splits.test] == [0, 0, 0, 1, 1, 1]
    for image, label in splits.train:  # a plain colour stays one through resizing and cropping
        pure = torch.zeros(3, 1, 1)
        pure[int(label)] = 1
        deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        torch.testing.assert_close(image, ((pure - MEAN) / deviation).expand(3, 16, 16))


def test_folder_takes_the_centre(folder):
    pixels = np.zeros((32, 96, 3), dtype=np.uint8)
    pixels[:, 32:64] = 255
    Image.fromarray(pixels).save(folder / "test" / "class0" / "0.png")
    image, _ = load_splits(study("folder", folder)).test[0]
    assert (image[:, :, 2:14] > 1.5).all()


def test_folder_faults_are_named(folder):
    with pytest.raises(OvnasError, match="must hold train, validation, test/; there is no"):
        load_splits(study("folder", folder / "nowhere"))
    broken = folder / "train" / "class0" / "0.png"
    broken.write_bytes(b"no image")
    with pytest.raises(OvnasError, match=r"0\.png cannot be read as an image"):
        load_splits(study("folder", folder))
    broken.unlink()
    for path in (folder / "test" / "class1").iterdir():
        path.unlink()
    with pytest.raises(OvnasError, match="has no images of class 'class1'"):
        load_splits(study("folder", folder))


def test_truncated_images_are_named(folder):
    path = folder / "train" / "class0" / "0.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(OvnasError, match="cannot be read as an image"):
        load_splits(study("folder", folder))


def test_a_study_without_data_is_refused():
    with pytest.raises(OvnasError, match="has no data"):
        load_splits(study("none"))


def test_an_input_shape_that_images_do_not_have_is_refused(folder):
    with pytest.raises(OvnasError, match=r"input_shape is \[1, 16, 16\], but its images are \[3, 16, 16\]"):
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


def test_batches_in_order_and_shuffled(numbers):
    ordered = [labels.tolist() for _, labels in batches(numbers, 4)]
    assert ordered == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    shuffled = [
        [labels.tolist() for _, labels in batches(numbers, 4, generator=torch.Generator().manual_seed(seed))]
        for seed in (0, 0, 1)
    ]
    assert shuffled[0] == shuffled[1] != shuffled[2]
    assert [len(batch) for batch in shuffled[0]] == [4, 4]
