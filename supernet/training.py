"""Optimising a module over images, in steps that repeat: what is random about a step depends on its
number alone, so that training goes on from any step as if it had not been interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from supernet.compute import Compute
from supernet.data import Images, batches, training_batches
from supernet.distributed import ALONE, World
from supernet.errors import OvnasError
from supernet.study import TrainSection

__all__ = ["Epoch", "Fit", "Recipe", "Step", "accuracy"]

Step = Callable[[Tensor, Tensor, np.random.Generator], Tensor]
"""(images, labels, what is random about this step) to the loss; adds to the parameters' gradients."""

MOMENTUM = 0.9
# What the streams of random numbers are for.
ORDER, AUGMENTATION, STEP, DROPOUT = range(4)


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum, a linear warm-up and a cosine schedule; norms and biases do not decay."""

    epochs: int
    learning_rate: float
    batch_size: int = 64
    weight_decay: float = 5e-4
    warm_up_epochs: float = 1.0
    max_gradient_norm: float = 5.0
    ema_decay: float = 0.0

    @classmethod
    def of(cls, section: TrainSection, epochs: int, learning_rate: float) -> Recipe:
        """The study's recipe for so many epochs."""
        return cls(
            epochs,
            learning_rate,
            batch_size=section.batch_size,
            weight_decay=section.weight_decay,
            warm_up_epochs=section.warm_up_epochs,
            max_gradient_norm=section.max_gradient_norm,
            ema_decay=section.ema_decay,
        )

    def factor(self, epoch: float) -> float:
        """Of the learning rate, after `epoch` epochs."""
        warm_up = min(self.warm_up_epochs, self.epochs / 10)
        if epoch < warm_up:
            return min(1.0, (epoch + 0.01) / warm_up)
        return 0.5 * (1 + math.cos(math.pi * (epoch - warm_up) / (self.epochs - warm_up)))


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: mean loss of its steps."""

    index: int
    n_epochs: int
    loss: float


class Fit:
    """The training of one module by one recipe.

    Iterating `epochs` trains; it may be left after any step, and what `state` has given then is taken
    up by `restore` of a new Fit of the same module, recipe and seed. With several processes each computes
    its part of a batch with its own BatchNorm statistics; gradients and running statistics are averaged in
    each step.
    """

    def __init__(
        self,
        module: nn.Module,
        images: Images,
        recipe: Recipe,
        step: Step,
        *,
        seed: tuple[int, ...],
        compute: Compute | None = None,
        world: World = ALONE,
    ) -> None:
        self.module, self.images, self.recipe, self.step = module, images, recipe, step
        self.seed, self.compute, self.world = seed, compute or Compute(), world
        total = len(images)  # type: ignore[arg-type]
        self.batch_size = min(recipe.batch_size, total)
        if self.batch_size % world.size:
            raise OvnasError(
                f"[train] batch_size must be a multiple of the {world.size} processes, but {self.batch_size}"
                " images make a batch"
            )
        self.steps_per_epoch = total // self.batch_size
        self.n_steps = recipe.epochs * self.steps_per_epoch
        self.n_done = 0
        self._losses: list[float] = []
        self.compute.module(module)
        self.optimizer = torch.optim.SGD(
            self._groups(), lr=recipe.learning_rate, momentum=MOMENTUM, nesterov=True
        )
        self._average = (
            {name: value.clone() for name, value in self._averaged_values().items()}
            if recipe.ema_decay
            else {}
        )

    def _groups(self) -> list[dict[str, Any]]:
        parameters = list(self.module.parameters())
        return [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1]},
        ]

    def epochs(self, on_step: Callable[[], None] | None = None) -> Iterator[Epoch]:
        """Trains in place, an epoch a step of the iterator; `on_step` is called after each step.

        Between epochs the module is in evaluation mode. At the end averaged weights, if any, replace the
        last ones.
        """
        while self.n_done < self.n_steps:
            epoch, first = divmod(self.n_done, self.steps_per_epoch)
            self.module.train()
            order = np.random.default_rng((*self.seed, ORDER, epoch)).permutation(len(self.images))  # type: ignore[arg-type]
            keys = [
                (
                    order[i * self.batch_size : (i + 1) * self.batch_size],
                    (*self.seed, AUGMENTATION, epoch * self.steps_per_epoch + i),
                )
                for i in range(first, self.steps_per_epoch)
            ]
            for x, labels in training_batches(self.images, keys, self.world.part(self.batch_size)):
                self._losses.append(self._take_step(x, labels))
                self.n_done += 1
                if self.n_done % self.steps_per_epoch and on_step is not None:
                    on_step()
            self.module.eval()
            mean = torch.tensor(float(np.mean(self._losses)))
            self.world.average([mean])
            self._losses = []
            yield Epoch(epoch, self.recipe.epochs, float(mean))
        self.module.eval()
        if self._average:
            self._load(self._average)

    def _take_step(self, x: Tensor, labels: Tensor) -> float:
        rate = self.recipe.learning_rate * self.recipe.factor(self.n_done / self.steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        rng = np.random.default_rng((*self.seed, STEP, self.n_done))
        with self._seeded():
            loss = float(self.step(self.compute.images(x), labels.to(self.compute.device), rng))
        if not math.isfinite(loss):
            raise OvnasError(
                f"training diverged: the loss of step {self.n_done} is {loss}; take a lower learning rate"
            )
        parameters = list(self.module.parameters())
        gradients = [p.grad for p in parameters if p.grad is not None]
        self.world.average([*gradients, *self.module.buffers()])
        if self.recipe.max_gradient_norm:
            nn.utils.clip_grad_norm_(parameters, self.recipe.max_gradient_norm)
        self.optimizer.step()
        with torch.no_grad():
            decay = min(self.recipe.ema_decay, (1 + self.n_done) / (10 + self.n_done))  # forgets its start
            for name, value in self._averaged_values().items() if self._average else ():
                self._average[name].lerp_(value, 1 - decay)
        return loss

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """What modules draw themselves (dropout) depends on the step and the process alone."""
        rng = np.random.default_rng((*self.seed, DROPOUT, self.n_done, self.world.rank))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            yield

    def _averaged_values(self) -> dict[str, Tensor]:
        values = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}
        return {name: value.detach() for name, value in values.items() if value.is_floating_point()}

    def _load(self, values: dict[str, Tensor]) -> None:
        for name, value in self._averaged_values().items():
            value.copy_(values[name])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it the module has its averaged weights, if the recipe averages."""
        if not self._average:
            yield
            return
        own = {name: value.clone() for name, value in self._averaged_values().items()}
        self._load(self._average)
        try:
            yield
        finally:
            self._load(own)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that training goes on from: tensors, and a JSON value."""
        tensors = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self._average.items()}
        for name, parameter in self.module.named_parameters():
            momentum = self.optimizer.state[parameter].get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{name}"] = momentum
        facts = {"n_done": self.n_done, "losses": self._losses, "n_images": len(self.images)}  # type: ignore[arg-type]
        return tensors, facts

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Takes up what `state` has given. Raises OvnasError if that was of other images or another model."""
        n_images = len(self.images)  # type: ignore[arg-type]
        if facts.get("n_images", n_images) != n_images:
            raise OvnasError(
                f"the interrupted training had {facts['n_images']} images, but now there are {n_images}; "
                "bring them back, or begin anew"
            )
        kinds: dict[str, dict[str, Tensor]] = {"module": {}, "average": {}, "momentum": {}}
        for name, value in tensors.items():
            kind, _, rest = name.partition(".")
            kinds[kind][rest] = value
        try:
            self.module.load_state_dict(kinds["module"])
        except RuntimeError as error:
            what = str(error).splitlines()[-1].strip()
            raise OvnasError(f"the interrupted training was of another model ({what}); begin anew") from None
        for name, value in kinds["average"].items():
            self._average[name].copy_(value)
        for name, parameter in self.module.named_parameters():
            if name in kinds["momentum"]:
                buffer = torch.empty_like(parameter, requires_grad=False).copy_(kinds["momentum"][name])
                self.optimizer.state[parameter]["momentum_buffer"] = buffer
        self.n_done, self._losses = int(facts["n_done"]), [float(loss) for loss in facts["losses"]]


def accuracy(
    module: nn.Module | Callable[[Tensor], Tensor], images: Images, compute: Compute | None = None
) -> float:
    """Top-1 accuracy as a fraction; a module should be in evaluation mode. In float32 on the CPU where no
    `compute` is given."""
    compute = compute or Compute()
    right = total = 0
    with torch.no_grad(), compute.autocast():
        for x, labels in batches(images, 128):
            answers = module(compute.images(x) if compute != Compute() else x).argmax(1)
            right += int((answers.cpu() == labels).sum())
            total += len(labels)
    return right / total
