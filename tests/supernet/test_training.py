from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from supernet import training
from supernet.study import TrainSection
from supernet.training import accuracy, pretrain, train_supernet

SECTION = TrainSection(pretrain_epochs=4, epochs=4, batch_size=16, n_random=1, learning_rate=0.02)


def separable(n: int = 80, n_classes: int = 5) -> TensorDataset:
    """One class, one bright row."""
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(n) % n_classes
    images = 0.2 * torch.randn(n, 3, 12, 12, generator=generator)
    for i, label in enumerate(labels.tolist()):
        images[i, :, 2 * label : 2 * label + 2] += 1.5
    return TensorDataset(images, labels)


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("n", [1, 127, 128, 300])
def test_accuracy_against_a_count_by_hand(n):
    generator = torch.Generator().manual_seed(n)
    scores = torch.randn(n, 7, generator=generator)
    labels = torch.randint(7, (n,), generator=generator)
    right = sum(
        max(range(7), key=lambda c: row[c]) == y for row, y in zip(scores.tolist(), labels, strict=True)
    )
    assert accuracy(lambda x: x, TensorDataset(scores, labels)) == right / n


def network_of_rows() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d((6, 1)), nn.Flatten(), nn.Linear(96, 5)),
    )


def test_pretraining_learns(rng):
    model, data = network_of_rows(), separable()
    before = accuracy(model.eval(), data)
    epochs = list(pretrain(model, data, SECTION, rng))
    assert [(e.index, e.n_epochs) for e in epochs] == [(i, 4) for i in range(4)]
    assert epochs[-1].loss < epochs[0].loss
    assert not model.training
    assert accuracy(model, data) > max(before, 0.95)


def test_pretraining_repeats_with_its_seed():
    found = []
    for seed in (0, 0, 1):
        model = network_of_rows()
        losses = [e.loss for e in pretrain(model, separable(), SECTION, np.random.default_rng(seed))]
        found.append((losses, state(model)))
    assert found[0][0] == found[1][0]
    assert same(found[0][1], found[1][1])
    assert not same(found[0][1], found[2][1])


@pytest.fixture(scope="module")
def trained(request):
    make, randomise, make_resnet = (
        request.getfixturevalue(name) for name in ("make_network", "randomise", "make_tiny_resnet")
    )
    teacher = randomise(make_resnet())
    before = state(teacher)
    runs = []
    for seed in (0, 0, 1):
        network = make()
        rng = np.random.default_rng(seed)
        runs.append((list(train_supernet(network, teacher, separable(), SECTION, rng)), network))
    return teacher, before, runs


@pytest.fixture(scope="module")
def make_network(randomise, make_tiny_resnet, tiny_images):
    import supernet

    section = supernet.SpaceSection(width=(0.5, 1.0), divisor=4)
    return lambda: supernet.generate(randomise(make_tiny_resnet(), 3), tiny_images[:1], section)


def test_supernet_loss_decreases(trained):
    _, _, runs = trained
    for epochs, network in runs:
        losses = [e.loss for e in epochs]
        assert len(losses) == 4
        assert all(map(math.isfinite, losses))
        assert losses[-1] < 0.95 * losses[0]
        assert not network.training


def test_the_teacher_is_not_changed(trained):
    teacher, before, _ = trained
    assert same(before, state(teacher))
    assert all(p.grad is None for p in teacher.parameters())


def test_supernet_repeats_with_its_seed(trained):
    _, _, runs = trained
    assert runs[0][0] == runs[1][0]
    assert same(state(runs[0][1]), state(runs[1][1]))
    assert not same(state(runs[0][1]), state(runs[2][1]))


def test_every_step_is_a_sandwich(make_network, make_tiny_resnet, randomise, rng, monkeypatch):
    network = make_network()
    space, seen = network.space, []
    activated = type(network).activated
    monkeypatch.setattr(type(network), "activated", lambda self, a: seen.append(a) or activated(self, a))
    section = TrainSection(epochs=2, batch_size=32, n_random=3)
    list(train_supernet(network, randomise(make_tiny_resnet()), separable(), section, rng))
    n_steps = 2 * (80 // 32)
    assert len(seen) == n_steps * 5
    steps = [seen[i : i + 5] for i in range(0, len(seen), 5)]
    assert [step[:2] for step in steps] == [[space.largest, space.smallest]] * n_steps
    assert len({a for step in steps for a in step[2:]}) > 3


def test_the_loss_is_that_of_distillation_and_labels(make_network, make_tiny_resnet, randomise, rng):
    network, teacher, data = make_network(), randomise(make_tiny_resnet()), separable()
    images, labels = data.tensors
    section = TrainSection(epochs=1, batch_size=80, n_random=0)
    expected = []
    with torch.no_grad():
        wanted = teacher(images).softmax(1)
        for architecture in (network.space.largest, network.space.smallest):
            logs = copy.deepcopy(network).extract(architecture).train()(images).log_softmax(1)
            soft = -(wanted * logs).sum(1).mean()
            expected.append(soft - 0.5 * logs[torch.arange(80), labels].mean())
    (epoch,) = train_supernet(network, teacher, data, section, rng)  # 12 px: no shift
    assert epoch.loss == pytest.approx(float(sum(expected)) / 2, rel=1e-4)


@pytest.mark.parametrize("n_epochs", [1, 4, 10, 50])
def test_learning_rate_schedule(n_epochs):
    warm = min(1.0, n_epochs / 10)
    times = np.linspace(0, n_epochs, 1001)
    rates = np.array([training._schedule(t, n_epochs) for t in times])
    assert 0 < rates[0] < 0.2  # SGD's first steps are careful, but not nothing
    assert (rates <= 1 + 1e-9).all()
    assert (np.diff(rates[times <= warm]) >= 0).all()
    assert (np.diff(rates[times >= warm]) < 0).all()
    assert rates.max() > 0.99
    assert training._schedule(warm, n_epochs) == pytest.approx(1)
    assert training._schedule((warm + n_epochs) / 2, n_epochs) == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0)


def test_the_optimizer_follows_the_schedule(rng, monkeypatch):
    rates, decays = [], []
    step = torch.optim.SGD.step

    def spied(self, *args):
        rates.append([group["lr"] for group in self.param_groups])
        decays.append(
            [(group["weight_decay"], {p.ndim for p in group["params"]}) for group in self.param_groups]
        )
        return step(self, *args)

    monkeypatch.setattr(torch.optim.SGD, "step", spied)
    list(pretrain(network_of_rows(), separable(), SECTION, rng))
    per_epoch = 80 // 16
    wanted = [0.1 * training._schedule(i / per_epoch, 4) for i in range(4 * per_epoch)]
    np.testing.assert_allclose(rates, np.repeat(wanted, 2).reshape(-1, 2))
    assert decays[0] == [(SECTION.weight_decay, {2, 4}), (0, {1})]


def test_images_move_by_a_sixteenth_at_most(rng):
    images = torch.randn(64, 3, 16, 32, generator=torch.Generator().manual_seed(0))
    moved = training._shifted(images, rng)
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


def test_a_data_set_smaller_than_a_batch_is_one_batch(rng):
    (epoch,) = pretrain(network_of_rows(), separable(6), TrainSection(pretrain_epochs=1, batch_size=64), rng)
    assert math.isfinite(epoch.loss)
