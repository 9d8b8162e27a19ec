"""Finalists: built, quantised with real data, and measured beside the INT8 baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from search.export import Exported, export_model
from search.problem import Candidate

if TYPE_CHECKING:
    import openvino as ov
    from rich.progress import Progress
    from torch import Tensor, nn

    from profiling.timing import Level
    from supernet.architecture import Architecture
    from supernet.data import Images, Splits
    from supernet.elastic import ElasticNetwork

__all__ = ["Built", "Material", "Measured", "build", "measure"]


@dataclass(frozen=True)
class Material:
    """What finalists are made of and judged by. Without `splits`, samples are random and there is no
    accuracy."""

    network: ElasticNetwork
    pretrained: nn.Module
    splits: Splits | None
    batchnorm_samples: Tensor | None
    calibration: Tensor
    example: Tensor


@dataclass(frozen=True)
class Built:
    """One exported network. Accuracies are on the test split, None without data."""

    architecture: Architecture
    candidate: Candidate | None
    exported: Exported
    top1_fp32: float | None
    top1_int8: float | None
    n_int8_layers: int
    n_layers: int


@dataclass(frozen=True)
class Measured:
    """Of one network: latency in microseconds, samples a second with all CPUs busy, and its speed-up
    over the baseline in the same rounds."""

    latency_us: float
    throughput_sps: float
    speedup: float


def build(material: Material, candidate: Candidate | None, folder: Path, target: dict[str, Any]) -> Built:
    """Extracts, re-estimates BatchNorm, exports and quantises; `candidate` None is the baseline, the
    pre-trained model itself."""
    from profiling.kernel import read_kernels
    from profiling.target import compile_model, core
    from supernet.batchnorm import reestimate
    from supernet.training import accuracy

    space = material.network.space
    if candidate is None:
        architecture = space.largest
        module = _traced(material)
    else:
        architecture = candidate.architecture
        module = material.network.extract(architecture)
        if material.batchnorm_samples is not None:
            reestimate(module, material.batchnorm_samples)
    exported = export_model(
        module,
        material.example,
        material.calibration,
        folder,
        core=core(),
        architecture=str(architecture),
    )
    compiled = compile_model(exported.model, target)
    layers = [k for k in read_kernels(compiled) if k.kernel.in_per_group]
    test = None if material.splits is None else material.splits.test
    return Built(
        architecture,
        candidate,
        exported,
        top1_fp32=None if test is None else accuracy(module, test),
        top1_int8=None if test is None else int8_accuracy(compiled, test),
        n_int8_layers=sum(k.exec_type.endswith("I8") for k in layers),
        n_layers=len(layers),
    )


def _traced(material: Material) -> nn.Module:
    """The pre-trained model with its own weights and statistics, as a plain traced module."""
    from supernet.generation import generate

    network = generate(material.pretrained, material.example)
    return network.extract(network.space.largest)


def int8_accuracy(compiled: ov.CompiledModel, images: Images) -> float:
    """Top-1 of a compiled model over all images; a last partial batch is filled up and cut off."""
    import torch

    from supernet.data import batches

    batch = int(compiled.inputs[0].shape[0])
    right = total = 0
    for x, labels in batches(images, batch):
        filled = torch.cat([x, x[-1:].expand(batch - len(x), *x.shape[1:])]) if len(x) < batch else x
        scores = compiled([filled.numpy()])[0][: len(x)]
        right += int((scores.argmax(1) == labels.numpy()).sum())
        total += len(labels)
    return right / total


def measure(
    baseline: Built,
    finalists: Sequence[Built],
    target: dict[str, Any],
    rng: np.random.Generator,
    bar: Progress,
) -> tuple[Measured, list[Measured]]:
    """Latency and throughput of the baseline, which is the anchor of every round, and the finalists."""
    from profiling.load import busy, level_of, make_timer, samples_per_s
    from profiling.machine import throughput_target
    from profiling.target import compile_model
    from profiling.timing import ROUNDS, anchor_level, interleave, ratio

    models = [built.exported.model for built in (baseline, *finalists)]
    task = bar.add_task("measuring finalists", total=2 * ROUNDS, note="latency")

    def rounds_of(what: dict[str, Any], level: Level) -> tuple[float, list[float]]:
        """The baseline's latency in microseconds, and everyone's relative to it."""
        anchor, *timers = [make_timer(compile_model(model, what), what) for model in models]
        rounds = interleave(timers, [anchor], rng, level=level, on_round=lambda: bar.update(task, advance=1))
        return anchor_level(rounds[0], level), [1.0, *(ratio(own, level) for own in rounds)]

    baseline_us, ratios = rounds_of(target, level_of(target))
    wide = throughput_target(target)
    bar.update(task, completed=ROUNDS, note="throughput")
    busy_us, busy_ratios = rounds_of(wide, busy)
    first, *others = [
        Measured(baseline_us * one, samples_per_s(busy_us * other, wide), 1 / one)
        for one, other in zip(ratios, busy_ratios, strict=True)
    ]
    return first, others
