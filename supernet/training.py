"""Training: the pre-trained model, and the super-network by the sandwich rule with distillation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernet.data import Images, batches
from supernet.elastic import ElasticNetwork
from supernet.study import TrainSection

__all__ = ["Epoch", "accuracy", "pretrain", "train_supernet"]


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: mean loss of its steps."""

    index: int
    n_epochs: int
    loss: float


def accuracy(module: nn.Module | Callable[[Tensor], Tensor], images: Images) -> float:
    """Top-1 accuracy as a fraction; a module should be in evaluation mode."""
    right = total = 0
    with torch.no_grad():
        for x, labels in batches(images, 128):
            right += int((module(x).argmax(1) == labels).sum())
            total += len(labels)
    return right / total


def pretrain(
    model: nn.Module, images: Images, section: TrainSection, rng: np.random.Generator
) -> Iterator[Epoch]:
    """Trains `model` in place with labels, an epoch a step of the iterator; ends in evaluation mode."""

    def step(x: Tensor, labels: Tensor) -> Tensor:
        loss = F.cross_entropy(model(x), labels, label_smoothing=0.1)
        torch.autograd.backward(loss)
        return loss.detach()

    rate, epochs = section.pretrain_learning_rate, section.pretrain_epochs
    yield from _epochs(model, images, section, step, epochs=epochs, rate=rate, rng=rng)


def train_supernet(
    network: ElasticNetwork,
    teacher: nn.Module,
    images: Images,
    section: TrainSection,
    rng: np.random.Generator,
) -> Iterator[Epoch]:
    """Trains the shared weights in place, an epoch a step of the iterator.

    Every step takes the largest, the smallest and `n_random` random sub-networks (the sandwich rule of
    Yu & Huang, ICCV 2019), each towards the pre-trained `teacher`'s probabilities (Hinton et al. 2015)
    and the labels.
    """
    space = network.space

    def step(x: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = teacher(x).softmax(1)
        sandwich = [space.largest, space.smallest]
        sandwich += [space.sample(rng) for _ in range(section.n_random)]
        total = torch.zeros(())
        for architecture in sandwich:
            with network.activated(architecture):
                logits = network(x)
            loss = F.cross_entropy(logits, wanted) + 0.5 * F.cross_entropy(logits, labels)
            torch.autograd.backward(loss / len(sandwich))
            total += loss.detach() / len(sandwich)
        return total

    rate = section.learning_rate
    yield from _epochs(network, images, section, step, epochs=section.epochs, rate=rate, rng=rng)


def _epochs(
    module: nn.Module,
    images: Images,
    section: TrainSection,
    step: Callable[[Tensor, Tensor], Tensor],
    *,
    epochs: int,
    rate: float,
    rng: np.random.Generator,
) -> Iterator[Epoch]:
    """SGD with Nesterov momentum, one epoch of warm-up and a cosine schedule; norms and biases do not
    decay."""
    groups: list[dict[str, Any]] = [
        {"params": [p for p in module.parameters() if p.ndim > 1], "weight_decay": section.weight_decay},
        {"params": [p for p in module.parameters() if p.ndim <= 1]},
    ]
    optimizer = torch.optim.SGD(
        groups,
        lr=rate,
        momentum=0.9,
        nesterov=True,
    )
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    batch_size = min(section.batch_size, len(images))  # type: ignore[arg-type]
    per_epoch = len(images) // batch_size  # type: ignore[arg-type]
    n_done = 0
    for epoch in range(epochs):
        module.train()
        losses = []
        for x, labels in batches(images, batch_size, generator=generator):
            for group in optimizer.param_groups:
                group["lr"] = rate * _schedule(n_done / per_epoch, epochs)
            optimizer.zero_grad(set_to_none=True)
            losses.append(float(step(_shifted(x, rng), labels)))
            nn.utils.clip_grad_norm_(module.parameters(), 5.0)
            optimizer.step()
            n_done += 1
        module.eval()
        yield Epoch(epoch, epochs, float(np.mean(losses)))


def _schedule(epoch: float, n_epochs: int) -> float:
    warm_up = min(1.0, n_epochs / 10)
    if epoch < warm_up:
        return min(1.0, (epoch + 0.01) / warm_up)
    return 0.5 * (1 + math.cos(math.pi * (epoch - warm_up) / (n_epochs - warm_up)))


def _shifted(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Each image moved by up to a sixteenth of its size, edges repeated."""
    B, _, H, W = x.shape
    dy, dx = H // 16, W // 16
    padded = F.pad(x, (dx, dx, dy, dy), mode="replicate")
    tops, lefts = rng.integers(0, 2 * dy + 1, B), rng.integers(0, 2 * dx + 1, B)
    return torch.stack(
        [padded[i, :, t : t + H, s : s + W] for i, (t, s) in enumerate(zip(tops, lefts, strict=True))]
    )
