from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from supernet import OvnasError, cifar10
from supernet.cifar10 import load_cifar10
from supernet.pixels import normalised


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    home = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return home


def value(split: str, label: int, i: int) -> int:
    return 10 * i + label + (5 if split == "val" else 0)


@pytest.fixture
def folder(tmp_path):
    for split, n in (("train", 20), ("val", 3)):
        for label, name in enumerate(("ant", "bee")):
            directory = tmp_path / split / name
            directory.mkdir(parents=True)
            for i in range(n):
                Image.new("RGB", (32, 32), (value(split, label, i), 0, 0)).save(directory / f"{i:04}.png")
    return tmp_path


def reds(images) -> list[int]:
    return images.pixels[:, 0, 5, 5].tolist()


def test_the_last_tenth_of_each_class_validates(folder):
    train, validation, test, n_classes = load_cifar10(folder)
    assert n_classes == 2
    assert reds(validation) == [value("train", label, i) for label in range(2) for i in (18, 19)]
    assert reds(train) == [value("train", label, i) for label in range(2) for i in range(18)]
    assert reds(test) == [value("val", label, i) for label in range(2) for i in range(3)]
    assert test.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(train[3][0], normalised(train.pixels[3]))


def test_images_come_at_the_side_that_is_asked_for(folder):
    for split in load_cifar10(folder, side=48)[:3]:
        assert split[0][0].shape == (3, 48, 48)
        assert split.pixels.shape[2:] == (32, 32)


def test_images_are_decoded_once(folder, home, monkeypatch):
    first = load_cifar10(folder)
    (cache,) = (home / "ovnas").iterdir()
    read = cifar10.read_image
    monkeypatch.setattr(cifar10, "read_image", lambda path: 1 / 0)
    again = load_cifar10(folder)
    for one, other in zip(first[:3], again[:3], strict=True):
        assert torch.equal(one.pixels, other.pixels)
        assert torch.equal(one.labels, other.labels)
    monkeypatch.setattr(cifar10, "read_image", read)
    cache.write_bytes(cache.read_bytes()[:1000])  # damaged: made anew
    assert reds(load_cifar10(folder)[2]) == reds(first[2])
    changed = folder / "val" / "ant" / "0000.png"
    Image.new("RGB", (32, 32), (99, 0, 0)).save(changed)
    assert reds(load_cifar10(folder)[2])[0] == 99


def test_a_cache_that_cannot_be_written_is_done_without(folder, home):
    (home / "ovnas").write_text("a file where a folder should be")
    assert len(load_cifar10(folder)[0]) == 36


def test_faults_name_the_file(folder, tmp_path):
    with pytest.raises(OvnasError, match=r"there is no .*nowhere"):
        load_cifar10(folder / "nowhere")
    path = folder / "train" / "bee" / "0007.png"
    Image.new("RGB", (30, 32)).save(path)
    with pytest.raises(OvnasError, match=r"0007\.png must have 32x32 px, but has 30x32"):
        load_cifar10(folder)
    path.write_bytes(b"")
    with pytest.raises(OvnasError, match=r"0007\.png cannot be read as an image"):
        load_cifar10(folder)
    path.unlink()
    for file in (folder / "val" / "bee").iterdir():
        file.unlink()
    with pytest.raises(OvnasError, match=r"val/bee has no images"):
        load_cifar10(folder)
    (folder / "val" / "bee").rmdir()
    with pytest.raises(OvnasError, match=r"class 'bee' is missing: there is no .*val/bee"):
        load_cifar10(folder)


@pytest.fixture
def binary(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in (*cifar10.TRAIN_BATCHES, cifar10.TEST_BATCH):
        records = rng.integers(0, 256, (20, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(20) % 10
        records.tofile(folder / name)
    return folder


def test_the_binary_batches(binary):
    for root in (binary, binary.parent):
        train, validation, test, n_classes = load_cifar10(root)
        assert n_classes == 10
        assert [len(images) for images in (train, validation, test)] == [90, 10, 20]
        assert validation.labels.tolist() == list(range(10))
        last = np.fromfile(binary / "data_batch_5.bin", dtype=np.uint8).reshape(20, 3073)
        assert np.array_equal(validation.pixels.numpy().reshape(10, -1), last[10:, 1:])


def test_the_published_images_are_written_as_binary_batches(tmp_path, load_benchmark):
    """The package holds a picture a batch, whose rows are images, and the labels of all."""
    originals = load_benchmark("cifar10_originals")
    rng = np.random.default_rng(0)
    n, names = 20, (*originals.TRAIN_BATCHES, "test_batch")
    images = {name: rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for name in names}
    labels = [i % 10 for i in range(n)]
    members = {
        "train_lables.json": json.dumps(5 * labels).encode(),
        "test_lables.json": json.dumps(labels).encode(),
    }
    for name, pixels in images.items():
        picture = io.BytesIO()
        Image.fromarray(pixels.reshape(n, 1024, 3)).save(picture, "png")
        members[f"{name}.png"] = picture.getvalue()
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as archive:
        for name, content in members.items():
            facts = tarfile.TarInfo(f"package/{name}")
            facts.size = len(content)
            archive.addfile(facts, io.BytesIO(content))
    out = tmp_path / "images"
    out.mkdir()
    with tarfile.open(tmp_path / "package.tgz") as archive:
        originals.write(archive, out)
    train, validation, test, n_classes = load_cifar10(out)
    assert (len(train), len(validation), len(test), n_classes) == (90, 10, 20, 10)
    assert test.labels.tolist() == labels
    assert np.array_equal(test.pixels.numpy(), images["test_batch"].transpose(0, 3, 1, 2))
    assert np.array_equal(train.pixels[:10].numpy(), images["data_batch_1"][:10].transpose(0, 3, 1, 2))


def test_faults_of_binary_batches(binary):
    path = binary / "data_batch_2.bin"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(OvnasError, match=r"data_batch_2\.bin must hold records of 3073 bytes"):
        load_cifar10(binary)
    path.write_bytes(b"\x0a" + content[1:])
    with pytest.raises(OvnasError, match=r"data_batch_2\.bin has the label 10"):
        load_cifar10(binary)
    path.unlink()
    with pytest.raises(OvnasError, match=r"there is no .*data_batch_2\.bin"):
        load_cifar10(binary)


@pytest.mark.parametrize("inside", [True, False])
def test_pickles_are_refused(tmp_path, inside):
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    (root / "data_batch_1").write_bytes(b"\x80")
    with pytest.raises(OvnasError, match="whose pickles are not read; take the binary version"):
        load_cifar10(root if inside else tmp_path)
