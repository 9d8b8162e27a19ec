"""`python -m supernet.train`: makes a study's super-network and trains it."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet import cli
from supernet.study import Study

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from torch import nn

    from supernet.compute import Compute
    from supernet.data import Splits
    from supernet.distributed import World
    from supernet.elastic import ElasticNetwork
    from supernet.keeper import Keeper
    from supernet.sandwich import StageSpace
    from supernet.study import StageSection

# Beside an earlier super-network, which stays until a new one is done.
STATE, UNFINISHED = "training.safetensors", "unfinished"
BATCHNORM_SAMPLES = 512
JUDGED_BATCHNORM_SAMPLES = 256  # of an epoch's accuracies, which are for looking at
_NOT_SHOWN = {"schema_version", "settings", "space"}


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(
        "supernet.train", "Make a study's super-network from its pre-trained model, and train it."
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--weights", type=Path, metavar="FILE", help="the pre-trained model, in place of pre-training"
    )
    source.add_argument(
        "--start-from",
        type=Path,
        metavar="FILE",
        help="weights for other classes (ImageNet's, say) to pre-train from, with a new last layer",
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--force", action="store_true", help="train again over an earlier result")
    choice.add_argument(
        "--resume",
        action="store_true",
        help="go on with an interrupted training (as is done anyway), and do not start a new one",
    )
    return cli.run(train, parser.parse_args(argv))


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains and saves; returns what supernet.json holds beside the space."""
    from contextlib import nullcontext

    from supernet import checkpoint
    from supernet.alone import alone_in
    from supernet.distributed import joined_world
    from supernet.errors import OvnasError

    study = Study.load(arguments.study)
    folder: Path = arguments.runs_dir / study.name / "supernet"
    for given in filter(None, (arguments.weights, arguments.start_from)):
        if not given.is_file():
            raise OvnasError(f"there is no weights file {given}")
    with joined_world() as world:
        out = cli.console(arguments)
        out.quiet = not world.is_first
        arguments.json &= world.is_first  # one document, of one process
        trained = None
        if not (arguments.force or (folder / STATE).is_file()):
            trained = checkpoint.trained_part(study, folder)
        if not (arguments.force or trained or (folder / STATE).is_file()):
            card = checkpoint.read_card(study, folder)
            if card is not None:
                _require_same_origin(card, _origin(study, arguments), folder)
                out.print(
                    f"super-network of {study.name} is trained already (seed {card.get('seed')}): {folder} "
                    "(--force trains again)"
                )
                return {key: value for key, value in card.items() if key not in _NOT_SHOWN}
        splits, stages, graph = _trainable(study, out)
        with alone_in(folder) if world.is_first else nullcontext():
            return _train(study, splits, stages, graph, folder, out, arguments, world, trained)


def _trainable(study: Study, out: Console) -> tuple[Splits, list[StageSection], nn.Module]:
    """The study's images and its stages, of which nothing has to be asked after hours of pre-training, and
    the model's graph, by which a training step can be timed."""
    from supernet.data import load_splits
    from supernet.sandwich import stages_of
    from supernet.study_model import make_network

    splits = load_splits(study)
    _require_classifier(study, splits.n_classes)
    network = make_network(study)
    stages = stages_of(network.space, study.train)
    for left_out in (stage for stage in study.train.all_stages if stage not in stages):
        out.print(f"stage {', '.join(left_out.open)}: left out, for this space has nothing of that to choose")
    return splits, stages, network.module


def _train(
    study: Study,
    splits: Splits,
    stages: list[StageSection],
    graph: nn.Module,
    folder: Path,
    out: Console,
    arguments: argparse.Namespace,
    world: World,
    trained: Study | None,
) -> dict[str, Any]:
    """`trained`: the part of the study that the super-network in `folder` has behind it."""
    from supernet import checkpoint
    from supernet.data import take
    from supernet.errors import OvnasError
    from supernet.generation import generate
    from supernet.keeper import Keeper
    from supernet.outline import outline, print_outline
    from supernet.phase import kept_compute, run_phase
    from supernet.pretraining import JUDGED_IMAGES, Pretrained, pretrain
    from supernet.sandwich import StageSpace, sandwich_step, stages_of
    from supernet.study_model import example_input, make_model
    from supernet.training import Fit, Recipe
    from supernet.training_log import TrainingLog
    from supernet.weights import load_start, load_weights

    start = time.monotonic()
    if arguments.force and world.is_first:  # which alone holds the folder
        (folder / STATE).unlink(missing_ok=True)
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    world.agree(None)
    origin = _origin(study, arguments)
    keeper = Keeper(
        folder / STATE,
        study,
        arguments.seed,
        TrainingLog(folder / "training.csv" if world.is_first else None),
        origin=origin,
        options=("weights", "start_from"),
        world=world,
    )
    if trained:
        _take_up_trained(trained, folder, keeper, arguments, origin)
        out.print(f"going on from the super-network in {folder}, with the stages that the study has besides")
    elif arguments.resume and not keeper.has_kept:
        raise OvnasError(f"there is no interrupted training in {folder}; start one without --resume")
    seconds_before = keeper.facts.get("seconds", 0.0)
    if keeper.has_kept:
        out.print("going on with the interrupted training")
        if keeper.facts.get("processes", world.size) != world.size:
            out.print(
                f"note: it was of {keeper.facts['processes']} process(es) and is of {world.size} now; each "
                "normalises its own part of a batch, so that the result is another one",
                soft_wrap=True,
            )
    keeper.facts["processes"] = world.size
    model = make_model(study)
    goes_on = bool(keeper.facts.get("goes_on"))
    if goes_on:
        _require_same_origin(keeper.facts, origin, folder)
        load_weights(model, folder / "pretrained.safetensors")
    elif arguments.weights:
        load_weights(model, arguments.weights)
    if arguments.start_from and not goes_on:
        if study.model.weights:
            raise OvnasError("[model] weights is the pre-trained model; leave it out for --start-from")
        if not study.train.pretrain_epochs:
            raise OvnasError("--start-from begins a pre-training, but [train] pretrain_epochs is 0")
        fresh = load_start(model, arguments.start_from)
        out.print(f"pre-training starts from {arguments.start_from}, with new {', '.join(fresh)}")
    batch = take(splits.train, max(2, study.train.batch_size // world.size))
    compute = kept_compute(study.train.precision, graph, batch, keeper)
    out.print(f"training on {compute.device} in {compute.precision}")
    is_given = goes_on or bool(study.model.weights or arguments.weights) or not study.train.pretrain_epochs
    kept = Pretrained(folder / UNFINISHED, arguments.seed, origin)
    pretrain(model, study, splits, kept, keeper, compute, out, is_given=is_given)
    network = generate(model, example_input(study), study.space)
    n_trained = 0
    if trained:
        checkpoint.require_space(network.space, trained, folder)
        load_weights(network.module, folder / "supernet.safetensors")
        n_trained = len(stages_of(network.space, trained.train))
        keeper.log.read(n_trained)
    print_outline(outline(network, example_input(study)), study.name, out)
    n = min(JUDGED_BATCHNORM_SAMPLES, len(splits.train))  # type: ignore[arg-type]
    out.print(f"each epoch is judged on up to {JUDGED_IMAGES} images, with BatchNorm re-estimated on {n}")
    model = compute.module(model).eval()
    is_ordered = trained is not None
    for phase, stage in enumerate(stages, start=1):
        opened = StageSpace(network.space, stage)
        if opened.opens_width and not is_ordered:
            network.order_channels()
            is_ordered = True
        if phase <= n_trained or keeper.is_past(phase):
            continue
        fit = Fit(
            network,
            splits.train,
            Recipe.of(study.train, stage.epochs, stage.learning_rate),
            sandwich_step(network, model, opened, study.train, compute),
            seed=(arguments.seed, phase),
            compute=compute,
            world=world,
        )
        judge = _judge_of_network(network, opened, splits, compute)
        name = f"stage {phase} ({', '.join(stage.open)})" if study.train.stages else "super-network"
        run_phase(fit, name, phase, keeper, judge, out)
    facts: dict[str, Any] = {}
    if world.is_first:
        network, model = network.to("cpu"), model.to("cpu")
        facts = {
            "accuracy": _settle(network, model, splits, compute.exact, out),
            "batchnorm_samples": min(BATCHNORM_SAMPLES, len(splits.train)),  # type: ignore[arg-type]
            "epochs": sum(stage.epochs for stage in stages),
            "origin": keeper.facts.get("origin", origin),
            "seed": arguments.seed,
            "seconds": round(seconds_before + time.monotonic() - start, 1),
            "precision": compute.precision,
            "log10_size": network.space.log10_size,
        }
        checkpoint.save_supernet(network, study, folder, facts, pretrained=model)
        keeper.remove()
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
        out.print(f"saved to {folder}")
    return {"study": study.name, **facts}


def _take_up_trained(
    trained: Study,
    folder: Path,
    keeper: Keeper,
    arguments: argparse.Namespace,
    origin: dict[str, str],
) -> None:
    """Begins with what the trained super-network's card says. Raises OvnasError if another seed is given than
    it began with."""
    import torch

    from supernet import checkpoint
    from supernet.errors import OvnasError

    card = checkpoint.read_card(trained, folder)
    assert card is not None
    if card["seed"] != arguments.seed:
        raise OvnasError(
            f"the super-network in {folder} has the seed {card['seed']}; give --seed {card['seed']}"
        )
    keeper.facts |= {
        "goes_on": True,
        "seconds": card.get("seconds", 0.0),
        "origin": card.get("origin") or origin,
    }
    if card.get("precision") and not torch.cuda.is_available():  # the same again, for it changes the result
        keeper.facts |= {"device": "cpu", "precision": card["precision"]}


def _origin(study: Study, arguments: argparse.Namespace) -> dict[str, str]:
    """The digests of the files that a training begins with; nothing for none."""
    from supernet import checkpoint

    given = arguments.weights or (Path(study.model.weights).expanduser() if study.model.weights else None)
    return {"weights": checkpoint.digest(given), "start_from": checkpoint.digest(arguments.start_from)}


def _require_same_origin(card: dict[str, Any], origin: dict[str, str], folder: Path) -> None:
    """Raises OvnasError where other files are given than a trained super-network began with."""
    from supernet.errors import OvnasError

    for name, theirs in (card.get("origin") or {}).items():
        if origin[name] and origin[name] != theirs:
            raise OvnasError(
                f"the super-network in {folder} began with another {name.replace('_', '-')} file; train "
                "again with --force, or take another --runs-dir"
            )


def _judge_of_network(
    network: ElasticNetwork, opened: StageSpace, splits: Splits, compute: Compute
) -> Callable[[], tuple[float, float]]:
    from supernet.batchnorm import reestimate
    from supernet.data import take
    from supernet.pretraining import thinned
    from supernet.resized import images_of
    from supernet.training import accuracy

    judged = thinned(splits.validation)
    samples = compute.images(take(splits.train, JUDGED_BATCHNORM_SAMPLES))

    def judge() -> tuple[float, float]:
        found = []
        for architecture in (opened.largest, opened.smallest):
            module = compute.module(network.extract(architecture))
            reestimate(module, images_of(network.space, architecture, samples))
            found.append(accuracy(module, images_of(network.space, architecture, judged), compute))
        return found[0], found[1]

    return judge


def _require_classifier(study: Study, n_classes: int) -> None:
    """Refuses a model that cannot be traced, or has other outputs, before any training."""
    import torch

    from supernet.errors import OvnasError
    from supernet.graph import trace
    from supernet.study_model import example_input, make_model

    traced = trace(make_model(study), example_input(study))
    output = next(node for node in traced.module.graph.nodes if node.op == "output")
    shape = traced.shapes[output.name]
    if shape != (1, n_classes):
        raise OvnasError(
            f"the model must give logits of shape (batch, {n_classes}), one a class of its data, but an "
            f"image gives {shape}"
        )
    with torch.no_grad():
        found = traced.module.eval()(example_input(study))
    if n_classes > 1 and (found >= 0).all() and abs(float(found.sum()) - 1) < 1e-4:
        raise OvnasError("the model must give logits, but gives probabilities; leave its last Softmax out")


def _settle(
    network: ElasticNetwork, model: nn.Module, splits: Splits, compute: Compute, out: Console
) -> dict[str, float]:
    """Re-estimates the shared BatchNorm statistics on the largest and judges both ends."""
    import torch

    from supernet.batchnorm import reestimate
    from supernet.data import take
    from supernet.resized import images_of
    from supernet.training import accuracy

    samples = compute.images(take(splits.train, BATCHNORM_SAMPLES))
    largest = compute.module(network.extract(network.space.largest))
    reestimate(largest, samples)
    with torch.no_grad():
        own = dict(network.module.named_buffers())
        for name, value in largest.named_buffers():
            own[name].copy_(value)
    space = network.space
    smallest = compute.module(network.extract(space.smallest))
    reestimate(smallest, images_of(space, space.smallest, samples))
    found = {
        "pretrained": accuracy(compute.module(model), splits.validation, compute),
        "largest": accuracy(largest, splits.validation, compute),
        "smallest": accuracy(smallest, images_of(space, space.smallest, splits.validation), compute),
    }
    model.to("cpu")
    text = ", ".join(f"{name} {value:.2%}" for name, value in found.items())
    out.print(f"validation accuracy: {text}")
    return found


if __name__ == "__main__":
    sys.exit(main())
