"""Images in folders: what they become, and what is said of a folder that is not as it must be."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from supernet import OvnasError
from supernet.data import MEAN, SPLITS, load_splits, training_batches
from tests.supernet.image_studies import study, write_images


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path)


def test_the_folder_s_crops_are_parts_of_the_image(folder):
    pixels = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (200, 1, 3))
    Image.fromarray(pixels).save(folder / "train" / "class0" / "0.png")
    images = load_splits(study("folder", folder)).train
    ((x, _),) = training_batches(images, [(np.zeros(64, dtype=int), (0, 1))])
    red = x[:, 0] * 0.229 + 0.485
    assert (red.std(1) < 1e-3).all()  # rows are alike: nothing is turned
    slopes = red[:, 8, -1] - red[:, 8, 0]
    widths = slopes.abs()
    assert (slopes > 0).any()
    assert (slopes < 0).any()
    assert widths.max() <= 1
    assert widths.min() > 0.3  # a quarter of the area, 3:4
    assert widths.max() - widths.min() > 0.2


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


def test_images_of_more_than_8_bits_are_refused_and_not_clipped(folder):
    path = folder / "test" / "class0" / "0.png"
    Image.fromarray(np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)).save(path)
    with pytest.raises(OvnasError, match=r"0\.png cannot be read .*: it has more than 8 bits a channel"):
        load_splits(study("folder", folder)).test[0]


def test_folder_faults_are_named(folder):
    with pytest.raises(OvnasError, match="must hold train/, validation/, test/; there is no"):
        load_splits(study("folder", folder / "nowhere"))
    broken = folder / "train" / "class0" / "0.png"
    broken.write_bytes(b"no image")
    with pytest.raises(OvnasError, match=r"0\.png cannot be read as an image"):
        load_splits(study("folder", folder))
    broken.unlink()
    last = folder / "test" / "class1"
    for path in last.iterdir():
        path.unlink()
    with pytest.raises(OvnasError, match="has no images of class 'class1'"):
        load_splits(study("folder", folder))
    last.rmdir()
    with pytest.raises(OvnasError, match=r"class 'class1' is missing: there is no .*test/class1"):
        load_splits(study("folder", folder))
    (folder / "validation" / "other").mkdir()
    with pytest.raises(OvnasError, match="validation has classes that train/ has not: other"):
        load_splits(study("folder", folder))


@pytest.mark.parametrize("name", ["val", "validation"])
def test_without_test_images_half_of_the_held_out_ones_are_for_the_last_word(folder, name):
    shutil.rmtree(folder / "test")
    (folder / "validation").rename(folder / name)
    splits = load_splits(study("folder", folder))
    own = {split: [path for path, _ in getattr(splits, split).items] for split in SPLITS}
    held_out = sorted((folder / name).glob("*/*.png"))
    assert sorted(own["validation"] + own["test"]) == held_out
    assert [path.name for path in own["validation"]] == ["0.png", "2.png"] * 2
    assert [path.name for path in own["test"]] == ["1.png"] * 2
    assert len(own["train"]) == 6
    for i in (1, 2):
        (folder / name / "class1" / f"{i}.png").unlink()
    with pytest.raises(OvnasError, match="class1 must hold two images or more"):
        load_splits(study("folder", folder))


def test_val_is_validation(folder):
    (folder / "validation").rename(folder / "val")
    splits = load_splits(study("folder", folder))
    assert {path.parts[-3] for path, _ in splits.validation.items} == {"val"}
    assert {path.parts[-3] for path, _ in splits.test.items} == {"test"}


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
def test_truncated_images_are_named(folder, suffix):
    (folder / "train" / "class0" / "0.png").unlink()
    path = folder / "train" / "class0" / f"0.{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(OvnasError, match="cannot be read as an image"):
        load_splits(study("folder", folder))
