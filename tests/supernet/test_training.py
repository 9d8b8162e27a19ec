from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from supernet import OvnasError
from supernet.compute import Compute
from supernet.sandwich import label_step
from supernet.study import TrainSection
from supernet.training import Fit, Recipe, accuracy
from tests.supernet.learnable import same, separable, state

RECIPE = Recipe(epochs=4, learning_rate=0.1, batch_size=16)


def network_of_rows() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d((6, 1)), nn.Flatten(), nn.Dropout(0.3), nn.Linear(96, 5)),
    )


def fit_of(model: nn.Module, seed: int = 0, n: int = 80, **changes: float) -> Fit:
    recipe = dataclasses.replace(RECIPE, **changes)  # type: ignore[arg-type]
    step = label_step(model, label_smoothing=0.1, compute=Compute())
    return Fit(model, separable(n), recipe, step, seed=(seed, 0))


@pytest.mark.parametrize("n", [1, 127, 128, 300])
def test_accuracy_against_a_count_by_hand(n):
    generator = torch.Generator().manual_seed(n)
    scores = torch.randn(n, 7, generator=generator)
    labels = torch.randint(7, (n,), generator=generator)
    right = sum(
        max(range(7), key=lambda c: row[c]) == y for row, y in zip(scores.tolist(), labels, strict=True)
    )
    assert accuracy(lambda x: x, TensorDataset(scores, labels)) == right / n


@pytest.mark.parametrize("ema_decay", [0.0, 0.7])
def test_training_learns(ema_decay):
    model = network_of_rows()
    before = accuracy(model.eval(), separable())
    epochs = list(fit_of(model, ema_decay=ema_decay).epochs())
    assert [(e.index, e.n_epochs) for e in epochs] == [(i, 4) for i in range(4)]
    assert epochs[-1].loss < epochs[0].loss
    assert not model.training
    assert accuracy(model, separable()) > max(before, 0.95)


def test_training_repeats_with_its_seed():
    found = []
    for seed in (0, 0, 1):
        model = network_of_rows()
        losses = [e.loss for e in fit_of(model, seed).epochs()]
        found.append((losses, state(model)))
    assert found[0][0] == found[1][0]
    assert same(found[0][1], found[1][1])
    assert not same(found[0][1], found[2][1])


class KilledError(Exception):
    pass


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("n_before", [1, 5, 7, 13])
def test_training_goes_on_as_if_uninterrupted(n_before, ema_decay):
    whole = network_of_rows()
    losses = [e.loss for e in fit_of(whole, ema_decay=ema_decay).epochs()]
    fit = fit_of(network_of_rows(), ema_decay=ema_decay)
    kept = []

    def on_step() -> None:
        if fit.n_done == n_before:
            tensors, facts = fit.state()
            kept.append(({k: v.clone() for k, v in tensors.items()}, {**facts, "losses": [*facts["losses"]]}))
            raise KilledError

    begun = []
    try:
        for epoch in fit.epochs(on_step):
            begun.append(epoch.loss)
            on_step()
    except KilledError:
        pass
    other = network_of_rows()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    again = fit_of(other, ema_decay=ema_decay)
    again.restore(*kept[0])
    assert begun + [e.loss for e in again.epochs()] == losses
    assert same(state(other), state(whole))


def test_averaged_weights_follow_their_definition():
    model = network_of_rows()
    fit = fit_of(model, epochs=1, ema_decay=0.6)
    expected = {name: value.clone() for name, value in model.named_parameters()}

    n_steps = itertools.count()

    def on_step() -> None:
        n = next(n_steps)
        decay = min(0.6, (1 + n) / (10 + n))  # the first steps forget what was before
        for name, value in model.named_parameters():
            expected[name] = decay * expected[name] + (1 - decay) * value.detach()

    last = {}
    for _ in fit.epochs(on_step):
        on_step()
        last = state(model)
        with fit.averaged():
            for name, value in model.named_parameters():
                torch.testing.assert_close(value, expected[name])
        assert same(state(model), last)
    assert not same(state(model), last)
    for name, value in model.named_parameters():
        torch.testing.assert_close(value, expected[name])


@pytest.mark.parametrize("n_epochs", [1, 4, 10, 50])
@pytest.mark.parametrize("warm_up", [0.0, 1.0, 2.0])
def test_learning_rate_schedule(n_epochs, warm_up):
    recipe = Recipe(n_epochs, 0.1, warm_up_epochs=warm_up)
    warm = min(warm_up, n_epochs / 10)
    times = np.linspace(0, n_epochs, 1001)
    rates = np.array([recipe.factor(t) for t in times])
    assert rates[0] > 0
    if warm:
        assert rates[0] < 0.2  # SGD's first steps are careful, but not nothing
    assert (rates <= 1 + 1e-9).all()
    assert (np.diff(rates[times <= warm]) >= 0).all()
    assert (np.diff(rates[times >= warm]) < 0).all()
    assert rates.max() > 0.99
    assert recipe.factor(warm) == pytest.approx(1)
    assert recipe.factor((warm + n_epochs) / 2) == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0)


def test_the_optimizer_follows_the_schedule(monkeypatch):
    rates, decays = [], []
    step = torch.optim.SGD.step

    def spied(self, *args):
        rates.append([group["lr"] for group in self.param_groups])
        decays.append(
            [(group["weight_decay"], {p.ndim for p in group["params"]}) for group in self.param_groups]
        )
        return step(self, *args)

    monkeypatch.setattr(torch.optim.SGD, "step", spied)
    list(fit_of(network_of_rows()).epochs())
    per_epoch = 80 // 16
    wanted = [0.1 * RECIPE.factor(i / per_epoch) for i in range(4 * per_epoch)]
    np.testing.assert_allclose(rates, np.repeat(wanted, 2).reshape(-1, 2))
    assert decays[0] == [(RECIPE.weight_decay, {2, 4}), (0, {1})]


def test_a_data_set_smaller_than_a_batch_is_one_batch():
    fit = fit_of(network_of_rows(), n=6, epochs=1, batch_size=64)
    (epoch,) = fit.epochs()
    assert fit.n_steps == 1
    assert math.isfinite(epoch.loss)


def test_divergence_is_said():
    def step(_x, _labels, _rng):
        return torch.tensor(float("nan"))

    with pytest.raises(OvnasError, match="diverged: the loss of step 0 is nan; take a lower learning rate"):
        list(Fit(network_of_rows(), separable(), RECIPE, step, seed=(0,)).epochs())


def test_the_recipe_is_the_study_s():
    options = {"weight_decay": 0.1, "warm_up_epochs": 2.0, "max_gradient_norm": 0.0, "ema_decay": 0.9}
    section = TrainSection(batch_size=7, **options)
    assert Recipe.of(section, 24, 0.2) == Recipe(24, 0.2, batch_size=7, **options)


def test_a_kept_state_of_other_images_or_another_model_is_refused():
    kept = fit_of(network_of_rows()).state()
    with pytest.raises(OvnasError, match="had 80 images, but now there are 64"):
        fit_of(network_of_rows(), n=64).restore(*kept)
    wider = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 5))
    with pytest.raises(OvnasError, match=r"was of another model \(.*; begin anew"):
        fit_of(wider).restore(*kept)
