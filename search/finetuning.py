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

    missing = [a for a in architectures if not material.is_finetuned(a)]
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
