from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from supernet import batchnorm
from supernet.batchnorm import Reestimator, reestimate


@pytest.mark.parametrize(("n", "batch_size"), [(10, 128), (10, 4), (9, 3), (7, 2)])
def test_one_layer_has_the_closed_form(n, batch_size):
    images = torch.randn(n, 3, 5, 4) * 3 + 7
    norm = nn.BatchNorm2d(3)
    assert reestimate(nn.Sequential(norm), images, batch_size=batch_size) == n
    pixels = images.double().movedim(1, 0).flatten(1)
    torch.testing.assert_close(norm.running_mean, pixels.mean(1).float())
    torch.testing.assert_close(norm.running_var, pixels.var(1).float())
    assert norm.momentum == 0.1
    assert not norm.training
    assert not norm._forward_hooks


def test_order_of_the_samples_does_not_matter():
    images = torch.randn(24, 3, 4, 4)
    norms = [nn.BatchNorm2d(3), nn.BatchNorm2d(3)]
    for norm, order in zip(norms, (torch.arange(24), torch.randperm(24)), strict=True):
        reestimate(norm, images[order], batch_size=5)
    torch.testing.assert_close(norms[0].running_mean, norms[1].running_mean)
    torch.testing.assert_close(norms[0].running_var, norms[1].running_var)


def test_order_of_the_batches_does_not_matter_in_a_deep_network(make_tiny_resnet, randomise, tiny_images):
    batches = list(tiny_images.split(2))
    models = [randomise(make_tiny_resnet()) for _ in range(2)]
    reestimate(models[0], torch.cat(batches), batch_size=2)
    reestimate(models[1], torch.cat(batches[::-1]), batch_size=2)
    for (name, a), b in zip(models[0].state_dict().items(), models[1].state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_one_batch_gives_the_outputs_of_training_mode(make_tiny_resnet, randomise, tiny_images):
    """With one batch, a network in evaluation mode does what training mode did, but for n - 1."""
    model, twin = randomise(make_tiny_resnet()), randomise(make_tiny_resnet())
    reestimate(model, tiny_images)
    with torch.no_grad():
        torch.testing.assert_close(model(tiny_images), twin.train()(tiny_images), rtol=0.05, atol=0.05)


def test_a_layer_called_twice_sees_both_calls():
    norm = nn.BatchNorm2d(2, affine=False)
    images = torch.randn(8, 2, 3, 3) * 4 + 1
    reestimate(nn.Sequential(norm, norm), images)
    normal = (images - images.mean((0, 2, 3), keepdim=True)) / images.var(
        (0, 2, 3), keepdim=True, unbiased=False
    ).sqrt()
    both = torch.cat([images, normal]).movedim(1, 0).flatten(1)
    torch.testing.assert_close(norm.running_mean, both.mean(1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(norm.running_var, both.var(1), atol=1e-4, rtol=1e-4)


def test_layers_without_statistics_and_dropout_are_left_alone():
    free = nn.BatchNorm2d(2, track_running_stats=False)
    model = nn.Sequential(free, nn.Dropout(0.9), nn.BatchNorm2d(2))
    images = torch.randn(16, 2, 3, 3)
    reestimate(model, images)
    assert free.running_mean is None
    torch.testing.assert_close(model[2].running_var, torch.ones(2), atol=0.05, rtol=0)


def test_a_failed_run_leaves_the_module_as_it_was():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.Conv2d(9, 4, 1))
    with pytest.raises(RuntimeError):
        reestimate(model, torch.randn(4, 3, 2, 2))
    assert model[0].momentum == 0.1
    assert not model[0]._forward_hooks
    assert not model.training
    assert torch.equal(model[0].running_mean, torch.zeros(3))


def test_the_super_network_keeps_its_statistics(make_tiny_network, tiny_images):
    network = make_tiny_network()
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    reestimate(network.extract(network.space.smallest), tiny_images)
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())


def test_statistics_are_kept_by_architecture(make_tiny_network, tiny_images, monkeypatch):
    network = make_tiny_network()
    space = network.space
    calls = []
    monkeypatch.setattr(batchnorm, "reestimate", lambda m, x: calls.append(m) or reestimate(m, x))
    source = Reestimator(network, tiny_images, n_kept=2)
    assert source.n_samples == len(tiny_images)
    first = source.extract(space.smallest)
    again = source.extract(space.smallest)
    assert len(calls) == 1
    assert again is not first
    expected = network.extract(space.smallest)
    reestimate(expected, tiny_images)
    torch.testing.assert_close(again.state_dict(), expected.state_dict())
    assert all(torch.equal(again.state_dict()[name], value) for name, value in first.state_dict().items())
    again.bn1.running_mean.zero_()  # a module's statistics are its own
    assert torch.equal(source.extract(space.smallest).bn1.running_mean, first.bn1.running_mean)
    source.extract(space.largest)
    source.extract(space.sample(np.random.default_rng(3)))
    assert len(calls) == 3
    source.extract(space.smallest)  # the oldest one was given up
    assert len(calls) == 4
