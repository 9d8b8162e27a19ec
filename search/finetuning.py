"""Finalists trained on, alone, before they are built: `search.run --finetune EPOCHS`, and what
`supernet.finetune --int8` has made of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import openvino as ov
    from rich.console import Console

    from search.material import Material
    from supernet.architecture import Architecture

__all__ = ["finetune_missing", "trained_int8"]


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


def trained_int8(
    material: Material, architecture: Architecture, half_range: bool, note: Callable[[str], None]
) -> tuple[ov.Model, dict[str, Any]] | tuple[None, None]:
    """The INT8 model that `supernet.finetune --int8` has made of the sub-network as it is now, and epochs,
    learning_rate and seed of that; nothing where there is none for this batch and range of weights, and
    `note` gets why one is passed over."""
    from supernet.checkpoint import load_finetuned_int8

    kept = None if material.supernet is None else load_finetuned_int8(material.supernet, architecture)
    if kept is None:
        return None, None
    model, card = kept
    batch, wanted = int(model.inputs[0].shape[0]), len(material.example)
    reason = ""
    if batch != wanted:
        reason = f"its batch is {batch}, the target's {wanted}"
    elif card["half_range_weights"] != half_range:
        reason = f"it was made on a CPU {'without' if half_range is False else 'with'} VNNI"
    if reason:
        note(f"the INT8 model that supernet.finetune --int8 made of {architecture} is not used: {reason}")
        return None, None
    return model, {key: card[key] for key in ("epochs", "learning_rate", "seed")}
