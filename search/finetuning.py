"""Finalists trained on, alone, before they are built: `search.run --finetune EPOCHS`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from search.material import Material
    from supernet.architecture import Architecture

__all__ = ["finetune_missing"]


def finetune_missing(
    arguments: argparse.Namespace,
    material: Material,
    architectures: Sequence[Architecture],
    epochs: int,
    out: Console,
) -> None:
    """`supernet.finetune` with its own rate for each of `architectures` that has no weights of its own yet;
    each is saved at once, so that an interrupted search does not begin anew. `arguments` are the search's.
    """
    from supernet.finetune import finetune

    known = {a: material.extract(a)[1] for a in architectures}
    missing = [a for a, finetuning in known.items() if finetuning is None]
    others = [a for a, own in known.items() if own is not None and own["epochs"] not in (epochs, 0)]
    if others:
        out.print(
            f"{len(others)} finalist(s) were fine-tuned before, not for {epochs} epoch(s), and stay as they "
            "are; supernet.finetune --force trains one on",
            soft_wrap=True,
        )
    for number, architecture in enumerate(missing, 1):
        out.print(f"finalist {number} of {len(missing)} to be trained on for {epochs} epoch(s)")
        finetune(
            argparse.Namespace(
                study=arguments.study,
                runs_dir=arguments.runs_dir,
                seed=arguments.seed,
                json=arguments.json,
                architecture=str(architecture),
                epochs=epochs,
                learning_rate=None,
                int8=False,
                force=False,
            )
        )
