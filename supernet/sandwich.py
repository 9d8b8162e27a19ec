"""What a step of super-network training teaches: the sandwich rule, with distillation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from supernet.architecture import Architecture
from supernet.compute import Compute
from supernet.elastic import ElasticNetwork
from supernet.errors import OvnasError
from supernet.mixup import Labels, mixed
from supernet.space import Space
from supernet.study import StageSection, TrainSection
from supernet.training import Step

__all__ = ["StageSpace", "label_step", "sandwich_step", "stages_of", "teacher_step"]


class StageSpace:
    """The part of a space that a stage has open; closed choices stay at their largest. Resolutions are open
    in every stage, as in Once-for-All (Cai et al. 2020, section 3.3)."""

    def __init__(self, space: Space, stage: StageSection) -> None:
        opened = {*stage.open, "resolution", *(("expand",) if "width" in stage.open else ())}
        self.space = space
        self._closed = [i for i, slot in enumerate(space.slots) if slot.kind not in opened]
        self._last = [len(space.slots[i].choices) - 1 for i in self._closed]

    @property
    def is_open(self) -> bool:
        """Whether there is anything to choose."""
        return len(self._closed) < len(self.space.slots)

    @property
    def opens_width(self) -> bool:
        """Whether there are channels to choose."""
        closed = set(self._closed)
        return any(s.kind in ("width", "expand") for i, s in enumerate(self.space.slots) if i not in closed)

    @property
    def largest(self) -> Architecture:
        """The pre-trained model."""
        return self.space.largest

    @property
    def smallest(self) -> Architecture:
        """The first of every open choice."""
        return self._restricted(np.zeros((1, len(self.space.slots)), dtype=np.int64))

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Open choices around a size that is uniform: each is binomial, with that size as its probability.

        Uniform choices would nearly all have half of the MACs, and train what the search wants least; sizes
        are stratified as in AttentiveNAS (Wang et al. 2021, section 3.1).
        """
        last = [len(slot.choices) - 1 for slot in self.space.slots]
        return self._restricted(rng.binomial(last, rng.random())[None])

    def _restricted(self, codes: np.typing.NDArray[np.int64]) -> Architecture:
        codes = codes.copy()
        codes[:, self._closed] = self._last
        return self.space.decode(codes[0])


def stages_of(space: Space, section: TrainSection) -> list[StageSection]:
    """The stages that have something open in this space. Raises OvnasError if a kind never opens."""
    stages = [stage for stage in section.all_stages if StageSpace(space, stage).is_open]
    opened = {kind for stage in stages for kind in stage.open} | {"resolution"}
    kinds = {"width" if slot.kind == "expand" else str(slot.kind) for slot in space.slots}
    if kinds - opened:
        raise OvnasError(
            f"[[train.stages]] never open {', '.join(sorted(kinds - opened))}, which this space has choices "
            "of; add a stage that does"
        )
    return stages


def label_step(module: nn.Module, *, label_smoothing: float, compute: Compute) -> Step:
    """Trains a module towards its labels."""

    def step(x: Tensor, labels: Tensor, _rng: np.random.Generator) -> Tensor:
        with compute.autocast():
            logits = module(x)
        if not isinstance(logits, Tensor):
            raise OvnasError(
                "the model gives more than its logits while it is trained; switch its auxiliary outputs off "
                "in the factory"
            )
        loss = _label_loss(logits.float(), labels, label_smoothing)
        torch.autograd.backward(loss)
        return loss.detach()

    return step


def teacher_step(
    module: Callable[[Tensor], Tensor], teacher: nn.Module, section: TrainSection, compute: Compute
) -> Step:
    """Trains one module towards the teacher's probabilities, and with a smaller weight its labels."""

    def step(x: Tensor, labels: Tensor, rng: np.random.Generator) -> Tensor:
        x, answers = mixed(x, labels, section.mixup, rng)
        with torch.no_grad(), compute.autocast():
            wanted = teacher(x.clone()).float().softmax(1)  # it may write into its input
        with compute.autocast():
            logits = module(x).float()
        hard = answers.loss(partial(_label_loss, logits))
        loss = F.cross_entropy(logits, wanted) + section.label_weight * hard
        torch.autograd.backward(loss)
        return loss.detach()

    return step


def sandwich_step(
    network: ElasticNetwork,
    teacher: nn.Module | None,
    space: StageSpace,
    section: TrainSection,
    compute: Compute,
) -> Step:
    """Trains the largest, the smallest and random sub-networks (Yu & Huang, ICCV 2019).

    Each towards the probabilities of the pre-trained `teacher` (Hinton et al. 2015), or of the largest in
    the same step, and with a smaller weight towards the labels. The shared BatchNorm statistics are the
    largest's own: each sub-network is normalised by its batch. Only the largest drops out, for the others
    are too small to learn their images by heart (Yu et al. 2020, BigNAS, section 3.1).
    """
    in_place = section.distillation == "in-place"

    def loss_of(logits: Tensor, answers: Labels, wanted: Tensor | None) -> Tensor:
        if wanted is None:
            return answers.loss(partial(_label_loss, logits, smoothing=section.label_smoothing))
        hard = answers.loss(partial(_label_loss, logits))
        return F.cross_entropy(logits, wanted) + section.label_weight * hard

    def step(x: Tensor, labels: Tensor, rng: np.random.Generator) -> Tensor:
        x, answers = mixed(x, labels, section.mixup, rng)
        wanted = None
        if section.distillation == "teacher" and teacher is not None:
            with torch.no_grad(), compute.autocast():
                wanted = teacher(x.clone()).float().softmax(1)  # it may write into its input
        sandwich = [space.largest, space.smallest]
        sandwich += [space.sample(rng) for _ in range(section.n_random)]
        total = torch.zeros((), device=x.device)
        for index, architecture in enumerate(sandwich):
            with network.activated(architecture), compute.autocast(), _as_a_student(network, index > 0):
                logits = network(x).float()
            loss = loss_of(logits, answers, wanted)
            torch.autograd.backward(loss / len(sandwich))
            total += loss.detach() / len(sandwich)
            if in_place and index == 0:
                wanted = logits.detach().softmax(1)
        return total

    return step


def _label_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy. Raises OvnasError for a label that is none of the classes."""
    n_classes = logits.shape[1]
    foreign = labels[(labels < 0) | (labels >= n_classes)]
    if len(foreign):
        raise OvnasError(
            f"a training image has the label {int(foreign[0])}, but labels must be 0 to {n_classes - 1}"
        )
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


@contextmanager
def _as_a_student(network: nn.Module, is_student: bool) -> Iterator[None]:
    """Within it, if `is_student`, BatchNorms normalise by their batch without recording it, and nothing is
    dropped out."""
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    dropouts = [m for m in network.modules() if isinstance(m, _DropoutNd) and m.training]
    if is_student:
        for norm in norms:
            norm.track_running_stats = False
        for dropout in dropouts:
            dropout.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        for dropout in dropouts:
            dropout.train()
