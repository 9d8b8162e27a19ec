"""Finalists trained on, alone, before they are built: `search.run --finetune EPOCHS`, and what
`supernet.finetune --int8` has made of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
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
    each is saved at once, so that an interrupted search does not begin anew. One that fails is said, and
    costs no other its training. `arguments` are the search's.
    """
    from supernet.errors import OvnasError
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
        options = argparse.Namespace(
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
        try:
            finetune(options)
        except OvnasError as error:
            out.print(f"note: {architecture} is built as it was: {error}", soft_wrap=True)


def trained_int8(
    material: Material, architecture: Architecture, half_range: bool, note: Callable[[str], None]
) -> tuple[ov.Model, dict[str, Any]] | tuple[None, None]:
    """The INT8 model that `supernet.finetune --int8` has made of the sub-network as it is now, and epochs,
    learning_rate and seed of that; nothing where there is none for these weights, batch and range of weights,
    and `note` gets why one is passed over. Raises OvnasError where its model cannot be read."""
    from profiling.target import core
    from supernet.checkpoint import finetuned_int8_card, finetuned_int8_folder
    from supernet.errors import OvnasError

    home = material.supernet
    card = None if home is None else finetuned_int8_card(home, architecture)
    if home is None or card is None:
        return None, None
    path = finetuned_int8_folder(home, architecture) / "model.xml"
    try:
        model = core().read_model(path)
    except RuntimeError as error:
        raise OvnasError(
            f"{path} cannot be read; delete {path.parent}, or make it again with supernet.finetune --int8 "
            f"--force ({str(error).splitlines()[0]})"
        ) from None
    reason = _why_passed_over(card, home, architecture, half_range)
    batch, wanted = int(model.inputs[0].shape[0]), len(material.example)
    if not reason and batch != wanted:
        reason = f"its batch is {batch}, the target's {wanted}"
    if reason:
        note(f"the INT8 model that supernet.finetune --int8 made of {architecture} is not used: {reason}")
        return None, None
    return model, {key: card[key] for key in ("epochs", "learning_rate", "seed")}


def _why_passed_over(
    card: dict[str, Any], home: Path, architecture: Architecture, half_range: bool
) -> str | None:
    from supernet.checkpoint import digest, finetuned_path, origin_of

    if card.get("supernet") != origin_of(home)["supernet"]:
        return "it came from another super-network"
    if "weights" not in card:
        return "an earlier version made it; --int8 --force makes it again"
    if card["weights"] != digest(finetuned_path(home, architecture)):
        return "the sub-network has other weights now; --int8 --force makes it again"
    if not card.get("is_better"):
        return "training did not make it better"
    if card.get("half_range_weights") != half_range:
        return f"it was made on a CPU {'with' if half_range else 'without'} VNNI"
    return None
