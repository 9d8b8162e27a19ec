from __future__ import annotations

import sqlite3

import pytest
import torch
from torch.utils.data import TensorDataset

from search.certainty import error_of_share
from search.quality import Macs, ValidationAccuracy
from supernet import OvnasError, training
from supernet.batchnorm import Reestimator, reestimate
from supernet.data import Splits


@pytest.fixture
def splits():
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(30, 3, 12, 12, generator=generator)
    validation = TensorDataset(images, torch.randint(5, (30,), generator=generator))
    refused = TensorDataset(images[:0], torch.zeros(0, dtype=torch.int64))
    return Splits(refused, validation, refused, n_classes=5)


@pytest.fixture
def make(tiny_network, tiny_images, splits, tmp_path):
    def make(weights: bytes = b"weights", n_samples: int = 8, folder: str = "search") -> ValidationAccuracy:
        file = tmp_path / "supernet.safetensors"
        file.write_bytes(weights)
        cache = tmp_path / folder / "evaluations.sqlite"
        reestimator = Reestimator(tiny_network, tiny_images[:n_samples])
        return ValidationAccuracy(reestimator, splits, file, cache)

    return make


@pytest.fixture
def calls(monkeypatch):
    """Accuracies that were really evaluated."""
    found = []

    def counted(module, images):
        found.append(REAL(module, images))
        return found[-1]

    monkeypatch.setattr(training, "accuracy", counted)
    return found


REAL = training.accuracy


def test_is_the_validation_accuracy_of_the_sub_network(make, splits, space, rng, tiny_network, tiny_images):
    quality = make()
    assert quality.is_accuracy
    found = set()
    for architecture in (space.largest, space.smallest, space.sample(rng), space.sample(rng)):
        module = tiny_network.extract(architecture)
        reestimate(module, tiny_images)
        images, labels = splits.validation.tensors
        with torch.no_grad():
            expected = (module(images).argmax(1) == labels).float().mean().item()
        assert quality.of(architecture) == pytest.approx(expected)
        found.add(expected)
    assert len(found) > 1


def test_an_architecture_is_evaluated_once(make, calls, space):
    quality = make()
    first = quality.of(space.smallest)
    assert quality.of(space.smallest) == first
    assert len(calls) == 1
    quality.of(space.largest)
    assert len(calls) == 2


def test_the_pre_trained_model_is_judged_on_the_same_images_once(make, calls, tiny_network, space):
    quality = make()
    model = tiny_network.extract(space.largest)
    images, labels = quality.images.tensors
    with torch.no_grad():
        expected = (model(images).argmax(1) == labels).float().mean().item()
    assert quality.of_pretrained(model) == quality.of_pretrained(model) == pytest.approx(expected)
    assert len(calls) == 1


def test_the_cache_survives(make, calls, space):
    first = make().of(space.smallest)
    assert make().of(space.smallest) == first
    assert len(calls) == 1


def test_other_weights_or_samples_are_evaluated_again(make, calls, space):
    make().of(space.smallest)
    make(weights=b"trained further").of(space.smallest)
    make(n_samples=4).of(space.smallest)
    assert len(calls) == 3
    make().of(space.smallest)  # the first ones are still known
    assert len(calls) == 3


def test_the_network_is_not_changed(make, space, tiny_network):
    before = {name: value.clone() for name, value in tiny_network.state_dict().items()}
    make().of(space.smallest)
    assert all(torch.equal(before[name], value) for name, value in tiny_network.state_dict().items())


def garbage(cache):
    cache.write_bytes(b"no database at all " * 200)


def broken_pages(cache):
    with sqlite3.connect(cache) as db:
        db.executemany("INSERT INTO accuracy VALUES ('x', ?, 0.5)", [(f"w{i}",) for i in range(500)])
    db.close()
    data = cache.read_bytes()
    cache.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))


def other_table(cache):
    cache.unlink()
    with sqlite3.connect(cache) as db:
        db.execute("CREATE TABLE accuracy (something TEXT)")
    db.close()


@pytest.mark.parametrize("damage", [garbage, broken_pages, other_table])
def test_a_damaged_cache_is_named(make, space, tmp_path, damage):
    quality = make()
    quality.of(space.smallest)
    quality.evaluations._db.close()
    damage(tmp_path / "search" / "evaluations.sqlite")
    with pytest.raises(OvnasError, match=r"evaluations\.sqlite"):
        make().of(space.smallest)


def test_macs_are_a_declared_stand_in(space, rng):
    quality = Macs(space)
    assert not quality.is_accuracy
    assert "accuracy not measured" in quality.name
    for _ in range(5):
        architecture = space.sample(rng)
        assert quality.of(architecture) == pytest.approx(space.macs(architecture) / 1e6)
    assert quality.of(space.largest) > quality.of(space.smallest)


def test_the_standard_error_is_that_of_a_share_of_the_images(make, space):
    assert make().standard_error(0.9) == error_of_share(0.9, 30)
    assert Macs(space).standard_error(120.0) == 0
