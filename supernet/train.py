"""`python -m supernet.train`: makes a study's super-network and trains it."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet import cli
from supernet.study import Study

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console
    from torch import Tensor, nn

    from supernet.data import Splits
    from supernet.elastic import ElasticNetwork
    from supernet.space import Space

BATCHNORM_SAMPLES = 512
_NOT_SHOWN = {"schema_version", "settings", "space"}


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(
        "supernet.train", "Make a study's super-network from its pre-trained model, and train it."
    )
    parser.add_argument("--force", action="store_true", help="train again over an earlier result")
    return cli.run(train, parser.parse_args(argv))


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains and saves; returns what supernet.json holds beside the space."""
    import numpy as np
    import torch

    from supernet import checkpoint
    from supernet.data import load_splits
    from supernet.generation import generate
    from supernet.training import train_supernet

    study = Study.load(arguments.study)
    folder: Path = arguments.runs_dir / study.name / "supernet"
    out = cli.console(arguments)
    if not arguments.force:
        card = checkpoint.read_card(study, folder)
        if card is not None:
            out.print(
                f"super-network of {study.name} is trained already (seed {card.get('seed')}): {folder} "
                "(--force trains again)"
            )
            return {key: value for key, value in card.items() if key not in _NOT_SHOWN}
    splits = load_splits(study)
    rng = np.random.default_rng(arguments.seed)
    torch.manual_seed(arguments.seed)
    start = time.monotonic()
    _require_classifier(study, splits.n_classes)
    model = _pretrained(study, splits, folder, rng, out, arguments)
    network = generate(model, checkpoint.example_input(study), study.space)
    describe(network.space, out)
    network.order_channels()
    samples = _samples(splits)
    epochs = study.train.epochs
    with cli.progress(out) as bar:
        task = bar.add_task("super-network", total=epochs, note="")
        for epoch in train_supernet(network, model, splits.train, study.train, rng):
            bar.update(task, advance=1, note=f"loss {epoch.loss:.3f}")
    accuracy = _settle(network, model, splits, samples, out)
    facts = {
        "accuracy": accuracy,
        "batchnorm_samples": len(samples),
        "epochs": epochs,
        "seed": arguments.seed,
        "seconds": round(time.monotonic() - start, 1),
        "log10_size": network.space.log10_size,
    }
    checkpoint.save_supernet(network, study, folder, facts, pretrained=model)
    out.print(f"saved to {folder}")
    return {"study": study.name, **facts}


def _pretrained(
    study: Study,
    splits: Splits,
    folder: Path,
    rng: np.random.Generator,
    out: Console,
    arguments: argparse.Namespace,
) -> nn.Module:
    """The pre-trained model: from its weights file, from an earlier start, or trained now."""
    from supernet import checkpoint
    from supernet.training import pretrain

    model = checkpoint.make_model(study)
    if not study.model.weights:
        if not arguments.force and checkpoint.load_pretrained(model, study, arguments.seed, folder):
            out.print("going on with the pre-trained model of an earlier start")
            return model.eval()
        with cli.progress(out) as bar:
            task = bar.add_task("pre-training", total=study.train.pretrain_epochs, note="")
            for epoch in pretrain(model, splits.train, study.train, rng):
                bar.update(task, advance=1, note=f"loss {epoch.loss:.3f}")
    if not (folder / "supernet.json").is_file():  # else an interrupt would leave it beside an older one
        checkpoint.save_pretrained(model, study, arguments.seed, folder)
    return model.eval()


def _require_classifier(study: Study, n_classes: int) -> None:
    """Refuses a model that cannot be traced, or has other outputs, before any training."""
    from supernet import checkpoint
    from supernet.errors import OvnasError
    from supernet.graph import trace

    traced = trace(checkpoint.make_model(study), checkpoint.example_input(study))
    output = next(node for node in traced.module.graph.nodes if node.op == "output")
    shape = traced.shapes[output.name]
    if shape != (1, n_classes):
        raise OvnasError(
            f"the model must give logits of shape (batch, {n_classes}), one a class of its data, but an "
            f"image gives {shape}"
        )


def _samples(splits: Splits) -> Tensor:
    from supernet.data import take

    return take(splits.train, BATCHNORM_SAMPLES)


def _settle(
    network: ElasticNetwork, model: nn.Module, splits: Splits, samples: Tensor, out: Console
) -> dict[str, float]:
    """Re-estimates the shared BatchNorm statistics on the largest and judges both ends."""
    import torch

    from supernet.batchnorm import reestimate
    from supernet.training import accuracy

    largest = network.extract(network.space.largest)
    reestimate(largest, samples)
    with torch.no_grad():
        own = dict(network.module.named_buffers())
        for name, value in largest.named_buffers():
            own[name].copy_(value)
    smallest = network.extract(network.space.smallest)
    reestimate(smallest, samples)
    found = {
        "pretrained": accuracy(model, splits.validation),
        "largest": accuracy(largest, splits.validation),
        "smallest": accuracy(smallest, splits.validation),
    }
    text = ", ".join(f"{name} {value:.2%}" for name, value in found.items())
    out.print(f"validation accuracy: {text}")
    return found


def describe(space: Space, out: Console) -> None:
    """Prints what the space holds, and what stayed fixed and why."""
    names = {
        "depth": "blocks kept",
        "width": "channels",
        "expand": "inner / outer channels",
        "kernel": "side",
    }
    cli.print_table(
        out,
        f"space of 10^{space.log10_size:.1f} sub-networks",
        ("choice", "of", "values"),
        [(slot.name, names[slot.kind], " ".join(f"{c:g}" for c in slot.choices)) for slot in space.slots],
    )
    for group in space.groups:
        if group.slot is None:
            out.print(f"fixed: {group.name} ({group.n_units} channels): {group.reason}")
    largest, smallest = space.macs(space.largest), space.macs(space.smallest)
    out.print(f"million MACs: {largest / 1e6:.1f} at most, {smallest / 1e6:.1f} at least")


if __name__ == "__main__":
    sys.exit(main())
