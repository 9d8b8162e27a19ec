"""The pre-trained model that a super-network is made of: given, kept from before, or trained now."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.utils.data import Subset

from supernet import checkpoint
from supernet.compute import Compute
from supernet.data import Images, Splits
from supernet.errors import OvnasError
from supernet.keeper import Keeper
from supernet.phase import run_phase
from supernet.sandwich import label_step
from supernet.spread import evenly_spread
from supernet.stand_in import is_trained
from supernet.study import Study
from supernet.training import Fit, Recipe, accuracy

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["JUDGED_IMAGES", "Pretrained", "pretrain", "thinned"]

# What an epoch's accuracies are taken from: they are for looking at, and cheap.
JUDGED_IMAGES = 2000


@dataclass(frozen=True)
class Pretrained:
    """Where a pre-trained model is kept until its super-network is done, and what it came from: the seed, and
    the digests of the files that it began with."""

    folder: Path
    seed: int
    origin: dict[str, str]

    def load(self, model: nn.Module, study: Study) -> bool:
        """Loads what an unfinished start has kept; False if there is none, or it came from elsewhere."""
        return checkpoint.load_pretrained(model, study, self.seed, self.folder, origin=self.origin)

    def save(self, model: nn.Module, study: Study) -> None:
        """Keeps the model."""
        checkpoint.save_pretrained(model, study, self.seed, self.folder, origin=self.origin)


def pretrain(
    model: nn.Module,
    study: Study,
    splits: Splits,
    kept: Pretrained,
    keeper: Keeper,
    compute: Compute,
    out: Console,
    *,
    is_given: bool,
) -> None:
    """Trains `model` in place towards its labels, unless it `is_given` or an earlier start has done so; at
    the end it is on the CPU, in evaluation mode, and kept."""
    if is_given and not keeper.has_kept:
        _judge_given(model.eval(), splits, out)
    if not is_given:
        was_trained = is_trained(model) and not kept.origin["start_from"]
        if kept.load(model, study):
            out.print("going on with the pre-trained model of an earlier start")
            if not keeper.has_kept:
                keeper.log.read(n_stages=0)
        else:
            if was_trained and not keeper.has_kept:
                out.print(
                    "note: the factory's model is trained already, and is now trained on; [train] "
                    "pretrain_epochs = 0 takes it as it is",
                    soft_wrap=True,
                )
            _train(model, study, splits, kept.seed, keeper, compute, out)
    model.to("cpu").eval()
    if keeper.world.is_first:
        kept.save(model, study)


def _train(
    model: nn.Module,
    study: Study,
    splits: Splits,
    seed: int,
    keeper: Keeper,
    compute: Compute,
    out: Console,
) -> None:
    section = study.train
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise OvnasError(
            "the factory's model is frozen, and cannot be pre-trained; leave requires_grad as it was, or "
            "take the model as it comes: [train] pretrain_epochs = 0"
        )
    fit = Fit(
        model,
        splits.train,
        Recipe.of(section, section.pretrain_epochs, section.pretrain_learning_rate),
        label_step(model, label_smoothing=section.label_smoothing, compute=compute),
        seed=(seed, 0),
        compute=compute,
        world=keeper.world,
    )
    judged = thinned(splits.validation)
    run_phase(fit, "pre-training", 0, keeper, lambda: (accuracy(model, judged, compute), None), out)


def _judge_given(model: nn.Module, splits: Splits, out: Console) -> None:
    """Says how accurate a given model is, before it teaches for hours."""
    found = accuracy(model, thinned(splits.validation))
    out.print(f"the given model's accuracy: {found:.2%} (up to {JUDGED_IMAGES} validation images)")
    chance, n = 1 / splits.n_classes, min(JUDGED_IMAGES, len(splits.validation))  # type: ignore[arg-type]
    if found < chance + max(3 * math.sqrt(chance * (1 - chance) / n), 0.1 * (1 - chance)):
        out.print(
            "note: that is near chance; its classes must be in the order of the data's (folders: by name, "
            '"10" before "2"), and its images normalised as the README says',
            soft_wrap=True,
        )


def thinned(images: Images) -> Images:
    """Some of them, spread evenly, decoded by as many processes."""
    some: Any = Subset(images, evenly_spread(len(images), JUDGED_IMAGES))  # type: ignore[arg-type]
    some.n_workers = getattr(images, "n_workers", 0)
    return some  # type: ignore[no-any-return]
