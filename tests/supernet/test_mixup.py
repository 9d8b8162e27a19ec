"""Images that are two at once, and the loss that they are trained by."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import supernet
from supernet.compute import Compute
from supernet.mixup import mixed
from supernet.sandwich import StageSpace, sandwich_step, teacher_step
from supernet.study import StageSection, TrainSection
from tests.supernet.learnable import separable

IMAGES = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 0, 1, 1, 1])


def test_each_image_has_its_share_of_another_one():
    x, answers = mixed(IMAGES, LABELS, 0.3, np.random.default_rng(1))
    assert 0 < answers.share < 1
    torch.testing.assert_close(x, answers.share * IMAGES + (1 - answers.share) * IMAGES[range(5, -1, -1)])
    assert answers.others.tolist() == LABELS.tolist()[::-1]
    logits = torch.randn(6, 2)
    own, other = (F.cross_entropy(logits, labels) for labels in (LABELS, answers.others))
    found = answers.loss(lambda labels: F.cross_entropy(logits, labels))
    torch.testing.assert_close(found, answers.share * own + (1 - answers.share) * other)


def test_off_leaves_everything_as_it_is():
    rng = np.random.default_rng(1)
    x, answers = mixed(IMAGES, LABELS, 0.0, rng)
    assert x is IMAGES
    assert answers.loss(lambda labels: labels.sum()) == LABELS.sum()
    assert rng.random() == np.random.default_rng(1).random()  # nothing was drawn


def test_a_weak_one_seldom_mixes_much():
    shares = {
        strength: [mixed(IMAGES, LABELS, strength, np.random.default_rng(i))[1].share for i in range(300)]
        for strength in (0.2, 1.0)
    }
    apart = {strength: np.mean([min(s, 1 - s) for s in own]) for strength, own in shares.items()}
    assert apart[0.2] < 0.15 < 0.2 < apart[1.0]


@pytest.mark.parametrize("distillation", ["teacher", "in-place", "none"])
def test_super_networks_learn_from_mixed_images(make_tiny_resnet, randomise, tiny_images, distillation):
    space = supernet.SpaceSection(width=(0.5, 1.0), divisor=4)
    network = supernet.generate(randomise(make_tiny_resnet(), 3), tiny_images[:1], space)
    teacher = randomise(make_tiny_resnet()).eval()
    images, labels = separable().tensors
    section = TrainSection(
        n_random=0, distillation=distillation, label_weight=0.3, label_smoothing=0.0, mixup=0.5
    )
    x, answers = mixed(images, labels, 0.5, np.random.default_rng(7))
    wanted = teacher(x).softmax(1) if distillation == "teacher" else None
    expected = []
    for architecture in (network.space.largest, network.space.smallest):
        logs = copy.deepcopy(network).extract(architecture).train()(x).log_softmax(1)
        hard = hard_loss(logs, labels, answers)
        expected.append(hard if wanted is None else -(wanted * logs).sum(1).mean() + 0.3 * hard)
        if distillation == "in-place" and wanted is None:
            wanted = logs.exp()
    stage = StageSpace(network.space, StageSection(("kernel", "depth", "width"), 1, 0.02))
    step = sandwich_step(network.train(), teacher, stage, section, Compute())
    loss = step(images, labels, np.random.default_rng(7))
    torch.testing.assert_close(loss, sum(expected).detach() / 2)


def hard_loss(logs, labels, answers):
    return answers.share * F.nll_loss(logs, labels) + (1 - answers.share) * F.nll_loss(logs, answers.others)


def test_fine_tuning_mixes_too(make_tiny_resnet, randomise):
    module, teacher = randomise(make_tiny_resnet(), 3).train(), randomise(make_tiny_resnet()).eval()
    images, labels = separable().tensors
    section = TrainSection(label_weight=0.3, mixup=0.5)
    x, answers = mixed(images, labels, 0.5, np.random.default_rng(7))
    logs = copy.deepcopy(module)(x).log_softmax(1)
    wanted = teacher(x).softmax(1)
    expected = -(wanted * logs).sum(1).mean() + 0.3 * hard_loss(logs, labels, answers)
    loss = teacher_step(module, teacher, section, Compute())(images, labels, np.random.default_rng(7))
    torch.testing.assert_close(loss, expected.detach())
