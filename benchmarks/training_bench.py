"""What the benchmarks of training share: a study's data, its networks, and results that are kept."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from results_file import trained_by, write_result
from rich.console import Console
from torch import nn

from supernet import Architecture, Study, checkpoint
from supernet.batchnorm import reestimate
from supernet.compute import Compute, choose_compute
from supernet.data import Splits, load_splits, take
from supernet.distributed import World
from supernet.elastic import ElasticNetwork
from supernet.keeper import Keeper
from supernet.phase import run_phase
from supernet.resized import images_of
from supernet.train import BATCHNORM_SAMPLES
from supernet.training import Fit, Recipe, Step, accuracy
from supernet.training_log import TrainingLog
from supernet.whole_files import write_json

__all__ = ["Bench"]


class Bench:
    """A study's data, its trained networks, and a file of finished results that calls are kept in."""

    def __init__(self, arguments: argparse.Namespace, world: World) -> None:
        self.world = world
        self.study = Study.load(arguments.study)
        self.seed: int = arguments.seed
        self.home: Path = arguments.runs_dir / self.study.name / "supernet"
        self.folder = self.home / "benchmark"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.splits: Splits = load_splits(self.study)
        self.samples = take(self.splits.train, BATCHNORM_SAMPLES)
        self.out = Console(width=120, highlight=False, quiet=not world.is_first)
        self._compute: Compute | None = None
        self.weights = checkpoint.digest(self.home / "supernet.safetensors")[:16]

    @property
    def made_of(self) -> str:
        """What results depend on: the weights, and in how many parts batches are normalised."""
        return f"{self.weights} by {self.world.size}" if self.world.size > 1 else self.weights

    def finished(self, key: str, make: Callable[[], Any]) -> Any:
        """`make()`, or what an earlier start has kept under the key, for the same weights; of several
        processes all take part in making, and the first one's value is kept."""
        path = self.folder / "finished.json"
        key = f"{key} of {self.made_of}"

        def kept() -> dict[str, Any]:
            return dict(self.world.agree(json.loads(path.read_text()) if path.is_file() else {}))  # type: ignore[call-overload]

        values = kept()
        if key not in values:
            value = make()
            values = kept() | {key: self.world.agree(value)}  # it may have kept something itself
            if self.world.is_first:
                write_json(values, path)
        self.out.print(f"{key}: {values[key]}")
        return values[key]

    def write(self, name: str, value: dict[str, Any]) -> None:
        """A file of results of the study, by the first of several processes."""
        if self.world.is_first:
            write_result(f"supernet_{name}-{self.study.name}", {**trained_by(self.study), **value})

    def compute(self, module: nn.Module) -> Compute:
        """Chosen once for all that is compared."""
        if self._compute is None:
            batch = take(self.splits.train, self.study.train.batch_size)
            kept = self.finished(
                "precision", lambda: choose_compute(self.study.train.precision, module, batch).precision
            )
            self._compute = Compute("cuda" if torch.cuda.is_available() else "cpu", kept)
        return self._compute

    def train(self, name: str, module: nn.Module, step: Step, recipe: Recipe, seed: int) -> float:
        """Trains to the end of the recipe, going on where an earlier start was; seconds in all."""
        name = f"{name}-{self.made_of.replace(' ', '-')}"
        path = self.folder / f"{name}.safetensors"
        log = TrainingLog(self.folder / f"{name}.csv" if self.world.is_first else None)
        keeper = Keeper(path, self.study, self.seed, log, world=self.world)
        run_phase(self.fit(module, step, recipe, seed), name, 0, keeper, lambda: (None, None), self.out)
        return float(keeper.facts.get("seconds", 0.0))

    def fit(self, module: nn.Module, step: Step, recipe: Recipe, seed: int) -> Fit:
        compute, seeds = self.compute(module), (self.seed, seed)
        return Fit(module, self.splits.train, recipe, step, seed=seeds, compute=compute, world=self.world)

    def judged(self, module: nn.Module, images: Callable[[Any], Any] = lambda own: own) -> dict[str, float]:
        """Accuracy in float32 on the validation and the test images, as `images` makes them."""
        module = module.to("cpu").eval()
        parts = {"validation": self.splits.validation, "test": self.splits.test}
        return {name: accuracy(module, images(own)) for name, own in parts.items()}

    def judged_within(self, network: ElasticNetwork, architecture: Architecture) -> dict[str, float]:
        """As `judged`, of a sub-network at its own resolution."""
        images = partial(images_of, network.space, architecture)
        return self.judged(self.sub_network(network, architecture), images)

    def sub_network(self, network: ElasticNetwork, architecture: Architecture) -> nn.Module:
        module = network.extract(architecture)
        reestimate(module, images_of(network.space, architecture, self.samples))
        return module
