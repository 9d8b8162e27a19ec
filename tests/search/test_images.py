from __future__ import annotations

import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from search import images
from search.images import evenly, fingerprint


class Counted(Dataset):
    """Ten images, decoded at each call."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __len__(self) -> int:
        return 10

    def __getitem__(self, i: int):
        self.asked.append(i)
        return torch.full((1, 2, 2), float(i)), torch.tensor(i)


def labels(part) -> list[int]:
    return [int(part[i][1]) for i in range(len(part))]


@pytest.mark.parametrize(
    ("n", "expected"), [(0, range(10)), (99, range(10)), (10, range(10)), (4, [0, 3, 6, 9]), (1, [0])]
)
def test_a_fixed_part_evenly_spread(n, expected):
    assert labels(evenly(Counted(), n)) == list(expected)


def test_each_image_is_decoded_once():
    source = Counted()
    part = evenly(source, 4)
    n = len(source.asked)
    labels(part), labels(part)
    assert len(source.asked) == n


def test_what_does_not_fit_into_memory_is_left_where_it_is(monkeypatch):
    monkeypatch.setattr(images, "MOST_BYTES", 10)
    source = Counted()
    part = evenly(source, 4)
    assert labels(part) == [0, 3, 6, 9]
    n = len(source.asked)
    labels(part)
    assert len(source.asked) == n + 4


def test_a_part_is_decoded_by_as_many_processes(monkeypatch):
    monkeypatch.setattr("search.images.MOST_BYTES", 0)
    source = Counted()
    source.n_workers = 3
    assert evenly(source, 4).n_workers == evenly(source, 0).n_workers == 3


def test_tensors_are_taken_as_they_are():
    whole = TensorDataset(torch.zeros(5, 1), torch.arange(5))
    assert evenly(whole, 0) is whole
    assert labels(evenly(whole, 2)) == [0, 4]


def test_a_fingerprint_tells_images_apart():
    pixels = torch.randn(20, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 5
    one_pixel, one_label = pixels.clone(), labels.clone()
    one_pixel[11, 1, 2, 3] += 1e-3
    one_label[7] += 1
    own = fingerprint(TensorDataset(pixels, labels))
    assert own == fingerprint(TensorDataset(pixels.clone(), labels))
    others = [(one_pixel, labels), (pixels, one_label), (pixels[:19], labels[:19])]
    assert len({own, *(fingerprint(TensorDataset(*other)) for other in others)}) == 4
    beside = {fingerprint(TensorDataset(pixels, labels), part) for part in (pixels[:2], pixels[1:3])}
    assert len({own, *beside}) == 3
