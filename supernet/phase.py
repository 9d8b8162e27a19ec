"""One phase of a training: to its end, with a progress bar, a row of the log and a kept state each epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from supernet import cli
from supernet.compute import Compute, choose_compute
from supernet.keeper import Keeper
from supernet.training import Fit
from supernet.training_log import Row

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["kept_compute", "run_phase"]


def kept_compute(
    wanted: Literal["auto", "float32", "bfloat16"], module: nn.Module, images: Tensor, keeper: Keeper
) -> Compute:
    """Where to compute, the same for all of the keeper's processes, and the same again after an interruption,
    for precision changes the result. Otherwise as `choose_compute`."""
    facts = keeper.facts
    if "precision" in facts and facts["device"] != "cuda" and not torch.cuda.is_available():
        return Compute(facts["device"], facts["precision"])
    compute = choose_compute(wanted, module, images)
    precision = keeper.world.agree(compute.precision)
    facts |= {"device": compute.device, "precision": precision}
    return Compute(compute.device, precision)  # type: ignore[arg-type]


def run_phase(
    fit: Fit,
    name: str,
    phase: int,
    keeper: Keeper,
    judge: Callable[[], tuple[float | None, float | None]],
    out: Console,
) -> None:
    """Trains one phase to its end, from where `keeper` has it, with a row of the log and a kept state
    each epoch. `judge` gives the accuracies of the largest and the smallest."""
    keeper.take_up(phase, fit)
    seconds = keeper.facts.get("seconds", 0.0)
    start = last = time.monotonic()
    with cli.progress(out) as bar:
        task = bar.add_task(name, total=fit.n_steps, completed=fit.n_done, note="")

        def on_step() -> None:
            bar.update(task, completed=fit.n_done)
            keeper.facts["seconds"] = seconds + time.monotonic() - start
            keeper.save_if_due(phase, fit)

        for epoch in fit.epochs(on_step):
            rate = fit.recipe.learning_rate * fit.recipe.factor(epoch.index + 1)
            with fit.averaged():
                largest, smallest = judge() if keeper.world.is_first else (None, None)
            now = time.monotonic()
            row = Row(name, epoch.index + 1, epoch.loss, rate, largest, smallest, round(now - last, 1))
            last = now
            keeper.log.add(row)
            keeper.facts["seconds"] = seconds + now - start
            keeper.save(phase, fit)
            bar.update(task, completed=fit.n_done, note=str(row))
            if not out.is_terminal:
                out.print(f"{name}, epoch {epoch.index + 1}/{epoch.n_epochs}: {row}, {row.seconds:.0f} s")
