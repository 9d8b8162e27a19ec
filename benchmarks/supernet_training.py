"""What training a super-network is worth, on a study with real images.

    python benchmarks/supernet_training.py accuracies --study cifar10
    python benchmarks/supernet_training.py alone --study cifar10 --architectures 3
    python benchmarks/supernet_training.py strategies --study cifar10 --minutes 60
    python benchmarks/supernet_training.py given --weights benchmarks/weights/cifar10-mobilenet_v2.safetensors

`accuracies`: the pre-trained model, the largest, the smallest and the best of many small sub-networks,
with and without re-estimated BatchNorm statistics. `alone`: sub-networks straight from the super-network
against the same architectures trained alone, from the pre-trained weights that they share, for as many
epochs. `strategies`: sandwich and distillation against one random sub-network a step, for equal time.
`given`: a file of pre-trained weights, with the log of the training that made it beside it.

All but `given` need `python -m supernet.train` first (`strategies` its pre-trained model only), say what they
do as they go on, and may be interrupted at any time: what is finished lies in
`runs/<study>/supernet/benchmark/`. `torchrun --nproc-per-node 2 benchmarks/supernet_training.py ...` trains
in several processes.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import hashlib
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from training_bench import Bench

from supernet import Architecture, checkpoint
from supernet.batchnorm import reestimate
from supernet.compute import Compute
from supernet.data import Images
from supernet.distributed import joined_world
from supernet.elastic import ElasticNetwork
from supernet.errors import OvnasError
from supernet.generation import generate
from supernet.resized import images_of
from supernet.sandwich import StageSpace, label_step, sandwich_step, stages_of, teacher_step
from supernet.study import StageSection
from supernet.study_model import example_input, make_model
from supernet.training import Fit, Recipe, Step, accuracy
from supernet.weights import load_weights

FACTOR = 4  # how many times fewer MACs "small" means, as in BootstrapNAS's ResNet-50 on CIFAR-10


def accuracies(bench: Bench, arguments: argparse.Namespace) -> None:
    """Both ends of the space, and the best small sub-network."""
    network, model = checkpoint.load_supernet(bench.study, bench.home)
    space = network.space
    rows: dict[str, Any] = {"pretrained": bench.finished("pretrained", lambda: bench.judged(model))}

    def both(architecture: Architecture) -> dict[str, Any]:
        return {
            "architecture": str(architecture),
            "macs": space.macs(architecture),
            **bench.judged_within(network, architecture),
            "without_reestimation": bench.judged(
                network.extract(architecture), partial(images_of, space, architecture)
            ),
        }

    for name in ("largest", "smallest"):
        rows[name] = bench.finished(name, lambda name=name: both(getattr(space, name)))
    most = space.macs(space.largest) / FACTOR
    small = below(network, most, arguments.sampled, bench.seed)

    def validation(architecture: Architecture, images: Images = bench.splits.validation) -> float:
        module = bench.sub_network(network, architecture)
        return accuracy(module, images_of(space, architecture, images))

    scores = {a: bench.finished(f"validation {a}", lambda a=a: validation(a)) for a in small}
    if scores:
        rows["best_small"] = both(max(scores, key=lambda a: scores[a]))
    middle = [space.sample(np.random.default_rng((bench.seed, i))) for i in range(arguments.random)]
    rows["random"] = [bench.finished(f"random {a}", lambda a=a: both(a)) for a in middle]
    value = {
        "study": bench.study.name,
        "macs": space.macs(space.largest),
        "batchnorm_samples": len(bench.samples),
        "n_images": {s: len(getattr(bench.splits, s)) for s in ("train", "validation", "test")},
        "n_small_judged": len(small),
        "training": checkpoint.settings_of(bench.study)["train"],
        "training_seconds": (checkpoint.read_card(bench.study, bench.home) or {}).get("seconds"),
        "accuracy": rows,
    }
    bench.write("accuracies", value)


def below(network: ElasticNetwork, most: float, n: int, seed: int) -> list[Architecture]:
    """Up to `n` different architectures of at most so many MACs, and of at least three quarters of that,
    for the best of them are among the larger ones."""
    space = network.space
    rng = np.random.default_rng(seed)
    found: dict[Architecture, None] = {}
    for _ in range(200):
        codes = space.sample_codes(20_000, rng)
        # Uniform choices are seldom small: take the smaller of two for every slot, half of the time.
        codes[::2] = space.canonical(np.minimum(codes[::2], space.sample_codes(10_000, rng)))
        macs = space.macs_of(codes)
        for row in codes[(macs <= most) & (macs >= 0.75 * most)]:
            found[space.decode(row)] = None
            if len(found) == n:
                return list(found)
    return list(found)


def alone(bench: Bench, arguments: argparse.Namespace) -> None:
    """The same architectures from the super-network, and trained alone."""
    network, model = checkpoint.load_supernet(bench.study, bench.home)
    space, section = network.space, bench.study.train
    stages = stages_of(space, section)
    epochs = sum(stage.epochs for stage in stages)
    recipe = Recipe.of(section, epochs, max(stage.learning_rate for stage in stages))
    # From small to large: evenly spaced, by MACs, among many random ones of all sizes, as they are trained.
    opened, rng = StageSpace(space, stages[-1]), np.random.default_rng(bench.seed)
    ordered = sorted((opened.sample(rng) for _ in range(1000)), key=space.macs)
    places = np.linspace(0, len(ordered) - 1, arguments.architectures + 2).round().astype(int)[1:-1]
    rows: list[dict[str, Any]] = []
    for index, architecture in enumerate(ordered[place] for place in places):

        def train_alone(architecture: Architecture = architecture, index: int = index) -> dict[str, Any]:
            source = generate(model, example_input(bench.study), bench.study.space)
            source.order_channels()
            module = source.extract(architecture)
            images = partial(images_of, space, architecture)
            compute = bench.compute(module)
            step = teacher_step(lambda x: module(images(x)), compute.module(model), section, compute)
            seconds = bench.train(f"alone-{architecture.file_name}", module, step, recipe, seed=10 + index)
            module, _ = module.to("cpu"), model.to("cpu")
            reestimate(module, images(bench.samples))
            return {"seconds": round(seconds), **bench.judged(module, images)}

        rows.append(
            {
                "architecture": str(architecture),
                "macs": space.macs(architecture),
                "alone": bench.finished(f"alone {architecture}", train_alone),
                "supernet": bench.finished(
                    f"shared {architecture}",
                    lambda a=architecture: bench.judged_within(network, a),
                ),
            }
        )
        value = {
            "study": bench.study.name,
            "epochs": epochs,
            "batchnorm_samples": len(bench.samples),
            "architectures": arguments.architectures,
            "processes": bench.world.size,
            "rows": rows,
        }
        bench.write("alone", value)  # each takes long: the file holds what is finished


def strategies(bench: Bench, arguments: argparse.Namespace) -> None:
    """Each strategy gets as many epochs as fit into the minutes, found by timing its steps."""
    model = make_model(bench.study)
    weights = arguments.weights or bench.home / "pretrained.safetensors"
    load_weights(model, weights)
    bench.weights = checkpoint.digest(weights)[:16]
    section = bench.study.train
    options = {
        "sandwich + distillation": section,
        "sandwich, labels only": dataclasses.replace(section, distillation="none"),
        "one random + distillation": section,
        "one random, labels only": dataclasses.replace(section, distillation="none"),
    }
    chosen = list(options)[:: 1 if arguments.all else 3]  # the first and the last
    opened = StageSection(("kernel", "depth", "width"), 1, section.all_stages[-1].learning_rate)
    recipe_for = partial(Recipe.of, section, learning_rate=opened.learning_rate)
    rows = []
    for index, name in enumerate(chosen):

        def run(name: str = name, index: int = index) -> dict[str, Any]:
            network = generate(model, example_input(bench.study), bench.study.space)
            network.order_channels()
            compute = bench.compute(model)
            space = StageSpace(network.space, opened)
            maker = sandwich_step if name.startswith("sandwich") else random_step
            step = maker(network, compute.module(model).eval(), space, options[name], compute)
            slug = name.replace(" ", "-").replace(",", "").replace("+", "and")
            seconds_a_step = bench.finished(
                f"seconds a whole step, {name}, {arguments.minutes} minutes",
                lambda: timed_step(network, bench.fit(network, step, recipe_for(1000), seed=30 + index)),
            )
            per_epoch = max(1, len(bench.splits.train) // section.batch_size) * seconds_a_step
            epochs = max(1, round(60 * arguments.minutes / per_epoch))
            slug += f"-{arguments.minutes:g}min"
            seconds = bench.train(slug, network, step, recipe_for(epochs), seed=30 + index)
            network, _ = network.to("cpu"), model.to("cpu")
            space_of = network.space
            rng = np.random.default_rng(bench.seed)
            randoms = [space_of.sample(rng) for _ in range(arguments.random)]

            def mean(architectures: Iterable[Architecture]) -> dict[str, float]:
                found = [bench.judged_within(network, a) for a in architectures]
                return {key: float(np.mean([f[key] for f in found])) for key in ("validation", "test")}

            return {
                "strategy": name,
                "epochs": epochs,
                "seconds": round(seconds),
                "largest": mean([space_of.largest]),
                "smallest": mean([space_of.smallest]),
                "mean_of_random": mean(randoms),
            }

        asked = f"{arguments.minutes} minutes, {arguments.random} random, seed {bench.seed}, {section}"
        kept = hashlib.sha256(asked.encode()).hexdigest()[:8]
        rows.append(bench.finished(f"{name}, {arguments.minutes} minutes ({kept})", run))
    value = {
        "study": bench.study.name,
        "minutes": arguments.minutes,
        "n_random_judged": arguments.random,
        "processes": bench.world.size,
        "pretrained": bench.finished("pretrained", lambda: bench.judged(model.to("cpu"))),
        "rows": rows,
    }
    bench.write("strategies", value)


def random_step(
    network: ElasticNetwork, teacher: nn.Module, space: StageSpace, section: Any, compute: Compute
) -> Step:
    """One random sub-network a step, and nothing else."""
    soft = teacher_step(network, teacher, section, compute)
    hard = label_step(network, label_smoothing=section.label_smoothing, compute=compute)

    def step(x: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        with network.activated(space.sample(rng)):
            return (hard if section.distillation == "none" else soft)(x, labels, rng)

    return step


class _EnoughStepsError(Exception):
    """Ends a training that is timed."""


def timed_step(network: nn.Module, fit: Fit, n: int = 12) -> float:
    """Seconds of a step of training, all that belongs to it: the mean over `n` after the first, for they
    differ. Weights are not changed."""
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    ends: list[float] = []

    def on_step() -> None:
        ends.append(time.perf_counter())
        if len(ends) > n:
            raise _EnoughStepsError

    with suppress(_EnoughStepsError):
        for _ in fit.epochs(on_step):
            on_step()  # which an epoch's last step does not call
    network.load_state_dict(kept)
    network.zero_grad(set_to_none=True)
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def given(bench: Bench, arguments: argparse.Namespace) -> None:
    """A file of pre-trained weights by itself."""
    model = make_model(bench.study)
    load_weights(model, arguments.weights)
    with arguments.weights.with_suffix(".csv").open(encoding="utf-8") as file:
        log = list(csv.DictReader(file))
    value = {
        "study": bench.study.name,
        "weights": arguments.weights.name,
        "sha256": checkpoint.digest(arguments.weights),
        "epochs": len(log),
        "training_seconds": sum(float(row["seconds"]) for row in log),
        "n_images": {s: len(getattr(bench.splits, s)) for s in ("train", "validation", "test")},
        "accuracy": bench.judged(model),
    }
    bench.write("given", value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for function in (accuracies, alone, strategies, given):
        command = commands.add_parser(function.__name__, help=function.__doc__)
        command.set_defaults(function=function)
        command.add_argument("--study", default="cifar10", metavar="NAME|FILE")
        command.add_argument("--runs-dir", type=Path, default=Path("runs"))
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--random", type=int, default=8, help="random sub-networks that are judged")
        if function is accuracies:
            command.add_argument("--sampled", type=int, default=100, help="small sub-networks to choose from")
        if function is alone:
            command.add_argument("--architectures", type=int, default=3)
        if function is given:
            command.add_argument("--weights", type=Path, required=True)
        if function is strategies:
            command.add_argument("--minutes", type=float, default=60.0, help="for each strategy")
            command.add_argument("--weights", type=Path, help="the pre-trained model")
            command.add_argument("--all", action="store_true", help="the two strategies between, too")
    arguments = parser.parse_args()
    try:
        with joined_world() as world:
            arguments.function(Bench(arguments, world), arguments)
    except OvnasError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
