from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

import supernet
import supernet.models.mobilenet
from supernet import OvnasError
from supernet.compute import Compute
from supernet.sandwich import StageSpace, label_step, sandwich_step, stages_of
from supernet.study import StageSection, TrainSection
from supernet.training import Fit, Recipe
from tests.supernet.learnable import same, separable, state

WHOLE = StageSection(("kernel", "depth", "width"), 4, 0.02)


@pytest.fixture(scope="module")
def make_network(randomise, make_tiny_resnet, tiny_images):
    section = supernet.SpaceSection(width=(0.5, 1.0), divisor=4)
    return lambda: supernet.generate(randomise(make_tiny_resnet(), 3), tiny_images[:1], section)


def fit_of(network, teacher, section, *, seed=0, epochs=4, batch_size=16, stage=WHOLE) -> Fit:
    step = sandwich_step(network, teacher, StageSpace(network.space, stage), section, Compute())
    recipe = Recipe(epochs, 0.02, batch_size=batch_size)
    return Fit(network, separable(), recipe, step, seed=(seed, 1))


@pytest.fixture(scope="module")
def trained(make_network, randomise, make_tiny_resnet):
    teacher = randomise(make_tiny_resnet())
    before = state(teacher)
    runs = []
    for seed in (0, 0, 1):
        network = make_network()
        fit = fit_of(network, teacher, TrainSection(n_random=1), seed=seed)
        runs.append((list(fit.epochs()), network))
    return teacher, before, runs


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


def test_every_step_is_a_sandwich(make_network, make_tiny_resnet, randomise, monkeypatch):
    network = make_network()
    space, seen = network.space, []
    activated = type(network).activated
    monkeypatch.setattr(type(network), "activated", lambda self, a: seen.append(a) or activated(self, a))
    fit = fit_of(network, randomise(make_tiny_resnet()), TrainSection(n_random=3), epochs=2, batch_size=32)
    list(fit.epochs())
    assert fit.n_steps == 2 * (80 // 32)
    assert len(seen) == fit.n_steps * 5
    steps = [seen[i : i + 5] for i in range(0, len(seen), 5)]
    assert [step[:2] for step in steps] == [[space.largest, space.smallest]] * fit.n_steps
    assert len({a for step in steps for a in step[2:]}) > 3


@pytest.mark.parametrize("distillation", ["teacher", "in-place", "none"])
def test_the_loss_against_its_definition(make_network, make_tiny_resnet, randomise, distillation):
    network, teacher = make_network(), randomise(make_tiny_resnet())
    images, labels = separable().tensors
    section = TrainSection(n_random=0, distillation=distillation, label_weight=0.3, label_smoothing=0.2)
    expected, wanted = [], None
    with torch.no_grad():
        if distillation == "teacher":
            wanted = teacher(images).softmax(1)
        for architecture in (network.space.largest, network.space.smallest):
            logs = copy.deepcopy(network).extract(architecture).train()(images).log_softmax(1)
            right = -logs[torch.arange(80), labels].mean()
            if wanted is None:
                expected.append(0.8 * right - 0.2 * logs.mean())
                wanted = logs.exp() if distillation == "in-place" else None
            else:
                expected.append(-(wanted * logs).sum(1).mean() + 0.3 * right)
    fit = fit_of(network, teacher, section, epochs=1, batch_size=80)
    (epoch,) = fit.epochs()
    assert epoch.loss == pytest.approx(float(sum(expected)) / 2, rel=1e-4)


def test_statistics_are_those_of_the_largest(make_network, make_tiny_resnet, randomise):
    both = []
    for n_random in (0, 4):
        network = make_network()
        fit = fit_of(
            network, None, TrainSection(n_random=n_random, distillation="none"), epochs=1, batch_size=80
        )
        alone = copy.deepcopy(network.module).train()
        alone(fit.compute.images(separable().tensors[0]))
        list(fit.epochs())
        for name, value in alone.named_buffers():
            torch.testing.assert_close(value.float(), dict(network.module.named_buffers())[name].float())
        assert all(m.track_running_stats for m in network.modules() if isinstance(m, nn.BatchNorm2d))
        both.append(state(network))
    assert not same(*both)


class Dropping(nn.Sequential):
    """A small network that drops out, and says in which training state it was."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(16, 8, 3), nn.Flatten(),
            nn.Linear(8 * 8 * 8, 2),
        )  # fmt: skip


def test_only_the_largest_drops_out(tiny_images):
    section = supernet.SpaceSection(width=(0.5, 1.0), divisor=4)
    network = supernet.generate(Dropping().eval(), tiny_images[:1], section)
    (dropout,) = (m for m in network.modules() if isinstance(m, nn.Dropout))
    seen = []
    dropout.register_forward_hook(lambda module, *_: seen.append(module.training))
    step = sandwich_step(
        network,
        None,
        StageSpace(network.space, WHOLE),
        TrainSection(n_random=2, distillation="none"),
        Compute(),
    )
    network.train()
    step(tiny_images[:2], torch.tensor([0, 1]), np.random.default_rng(0))
    assert seen == [True, False, False, False]
    assert dropout.training
    network.eval()
    step(tiny_images[:2], torch.tensor([0, 1]), np.random.default_rng(0))
    assert not dropout.training


def test_random_sub_networks_are_of_all_sizes(rng):
    network = supernet.generate(
        supernet.models.mobilenet.mobilenet_v2_cifar10().eval(),
        torch.zeros(1, 3, 64, 64),
        supernet.SpaceSection(),
    )
    space = network.space
    whole, least = space.macs(space.largest), space.macs(space.smallest)

    def sizes(sample) -> np.ndarray:
        return np.array([space.macs(sample(rng)) - least for _ in range(300)]) / (whole - least)

    spread = np.quantile(sizes(StageSpace(space, WHOLE).sample), [0.1, 0.9])
    uniform = np.quantile(sizes(space.sample), [0.1, 0.9])
    assert spread[0] < 0.1 < uniform[0]
    assert spread[1] > 0.7 > uniform[1]


def test_gradients_are_those_of_extracted_networks(make_network):
    """The mean over the sandwich, each sub-network's put where its slices lie."""
    network = make_network()
    space = network.space
    section = TrainSection(n_random=2, distillation="none", label_smoothing=0)
    images, labels = separable().tensors
    stage = StageSpace(space, WHOLE)
    step = sandwich_step(network, None, stage, section, Compute())
    rng = np.random.default_rng(5)
    members = [space.largest, space.smallest, stage.sample(rng), stage.sample(rng)]
    expected = torch.zeros_like(network.module.conv1.weight)
    for architecture in members:
        alone = network.extract(architecture).train()
        torch.nn.functional.cross_entropy(alone(images), labels).backward()
        grad = alone.conv1.weight.grad
        expected[: len(grad)] += grad / 4
    network.train()
    step(images, labels, np.random.default_rng(5))
    torch.testing.assert_close(network.module.conv1.weight.grad, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("opened", "width", "depth"),
    [(("depth",), False, True), (("width",), True, False), (("depth", "width"), True, True)],
)
def test_a_stage_opens_its_kinds_only(tiny_network, rng, opened, width, depth):
    space = tiny_network.space
    stage = StageSpace(space, StageSection(opened, 1, 0.1))
    assert stage.is_open
    assert stage.opens_width == width
    seen = [stage.smallest, *(stage.sample(rng) for _ in range(30))]
    assert (len({a.width[0] for a in seen}) > 1) == width
    assert (len({a.depth for a in seen}) > 1) == depth
    assert (stage.smallest == space.smallest) == (width and depth)
    assert all(space.decode(space.encode(a)) == a for a in seen)


def test_stages_must_open_what_the_space_has(tiny_network):
    kernel, depth, width = (StageSection((kind,), 1, 0.1) for kind in ("kernel", "depth", "width"))
    space = tiny_network.space
    assert stages_of(space, TrainSection(stages=(kernel, depth, width))) == [depth, width]
    assert stages_of(space, TrainSection(epochs=3)) == list(TrainSection(epochs=3).all_stages)
    with pytest.raises(OvnasError, match="never open width, which this space has"):
        stages_of(space, TrainSection(stages=(kernel, depth)))


def test_label_step_is_smoothed_cross_entropy():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 5))
    images, labels = separable().tensors
    logs = model(images).log_softmax(1)
    expected = -(0.9 * logs[torch.arange(80), labels] + 0.1 * logs.mean(1)).mean()
    loss = label_step(model, label_smoothing=0.1, compute=Compute())(images, labels, np.random.default_rng(0))
    torch.testing.assert_close(loss, expected.detach())
    assert model[1].weight.grad is not None


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_is_refused(label):
    step = label_step(nn.Linear(2, 3), label_smoothing=0.1, compute=Compute())
    with pytest.raises(OvnasError, match=f"has the label {label}, but labels must be 0 to 2"):
        step(torch.zeros(2, 2), torch.tensor([0, label]), np.random.default_rng(0))
