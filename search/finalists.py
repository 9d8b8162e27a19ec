"""Finalists: built, quantised with real data, and measured beside the INT8 and the FP32 baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from search.comparison import COPIES, ROUNDS, compare
from search.export import Exported, export_model
from search.material import Material
from search.problem import Candidate
from search.speedup import Ratio
from search.witnesses import Testimony, Witness

if TYPE_CHECKING:
    import openvino as ov
    from rich.progress import Progress
    from torch import nn

    from profiling.target import Target
    from supernet.architecture import Architecture
    from supernet.data import Images

__all__ = ["Built", "Measured", "Measurement", "build", "int8_hits", "measure"]


@dataclass(frozen=True)
class Built:
    """One exported network; `candidate` is None for the baseline. Accuracies are on the test split, None
    without data; `hits_int8`, shape (n,), says of each test image whether the INT8 model is right.
    `model_bytes` are those of the INT8 weights file; `finetuning`: epochs, learning rate and seed
    of training alone (0 epochs: none made it better), None where it was not trained alone;
    `int8_finetuning`: the same of the INT8 model, None where it was only quantised."""

    architecture: Architecture
    candidate: Candidate | None
    exported: Exported
    top1_fp32: float | None
    hits_int8: NDArray[np.bool_] | None
    macs: int
    n_parameters: int
    model_bytes: int
    n_int8_layers: int
    n_layers: int
    finetuning: dict[str, Any] | None
    int8_finetuning: dict[str, Any] | None = None

    @property
    def top1_int8(self) -> float | None:
        """Of the INT8 model."""
        return None if self.hits_int8 is None else float(self.hits_int8.mean())


@dataclass(frozen=True)
class Measured:
    """Of one network: latency in microseconds, samples a second with all CPUs busy, and how much faster it is
    than the INT8 and the FP32 baseline in the same rounds."""

    latency_us: float
    throughput_sps: float
    speedup: Ratio
    throughput_speedup: Ratio
    speedup_fp32: Ratio
    throughput_speedup_fp32: Ratio


@dataclass(frozen=True)
class Measurement:
    """Of all networks of one round: the INT8 baseline, the FP32 one, and the finalists in their order.
    `anchor_us` is the anchor's latency, the INT8 baseline's as profiling takes it."""

    anchor_us: float
    baseline: Measured
    fp32: Measured
    finalists: tuple[Measured, ...]
    witnesses: tuple[Testimony, ...] = ()

    def machine_speed(self, baseline_us: float) -> float:
        """How many times as fast the machine is as when the anchor took `baseline_us`: the median of what the
        anchor and each of the witnesses say."""
        return float(np.exp(np.median(self._log_speeds(baseline_us))))

    def drift(self, baseline_us: float) -> float:
        """How far off that speed one more network may be, as a logarithm, with a probability of 90 %: as the
        anchor and the witnesses differ (Student's t, one more observation); 0 where there are fewer than
        three in all. A shared machine does not change for all networks alike."""
        from predictor.conformal import LEVEL

        logs = self._log_speeds(baseline_us)
        n = len(logs)
        if n < 3:
            return 0.0
        return float(t.ppf((1 + LEVEL) / 2, n - 1) * np.std(logs, ddof=1) * np.sqrt(1 + 1 / n))

    def _log_speeds(self, baseline_us: float) -> list[float]:
        return [
            float(np.log(baseline_us / self.anchor_us)),
            *(float(np.log(w.then_us / w.now_us)) for w in self.witnesses),
        ]


def build(
    material: Material,
    candidate: Candidate | None,
    folder: Path,
    target: Target,
    note: Callable[[str], None] = lambda text: None,
) -> Built:
    """Extracts, re-estimates BatchNorm or takes fine-tuned weights, exports and quantises, or takes the INT8
    model of `supernet.finetune --int8`; where there is one that does not suit, `note` gets why. `candidate`
    None is the baseline, the pre-trained model itself."""
    from profiling.kernel import read_kernels
    from profiling.machine import has_vnni, read_machine
    from profiling.target import compile_model, core
    from search.finetuning import trained_int8
    from supernet.resized import images_of
    from supernet.training import accuracy

    space = material.network.space
    half_range = not has_vnni(read_machine())
    int8 = int8_finetuning = None
    if candidate is None:
        architecture = space.largest
        module, finetuning = traced(material), None
    else:
        architecture = candidate.architecture
        module, finetuning = material.extract(architecture)
        int8, int8_finetuning = trained_int8(material, architecture, half_range, note)
    exported = export_model(
        module,
        images_of(space, architecture, material.example),
        images_of(space, architecture, material.calibration),
        folder,
        core=core(),
        architecture=str(architecture),
        half_range=half_range,
        int8=int8,
    )
    compiled = compile_model(exported.model, target)
    layers = [k for k in read_kernels(compiled) if k.kernel.in_per_group]
    test = None if material.splits is None else images_of(space, architecture, material.splits.test)
    return Built(
        architecture,
        candidate,
        exported,
        top1_fp32=None if test is None else accuracy(module, test),
        hits_int8=None if test is None else int8_hits(compiled, test),
        macs=space.macs(architecture),
        n_parameters=sum(p.numel() for p in module.parameters()),
        model_bytes=exported.files["ir"].with_suffix(".bin").stat().st_size,
        n_int8_layers=sum(k.exec_type.endswith("I8") for k in layers),
        n_layers=len(layers),
        finetuning=finetuning,
        int8_finetuning=int8_finetuning,
    )


def traced(material: Material) -> nn.Module:
    """The pre-trained model with its own weights and statistics, as a plain traced module."""
    from supernet.generation import generate

    network = generate(material.pretrained, material.example)
    return network.extract(network.space.largest)


def int8_hits(compiled: ov.CompiledModel, images: Images) -> NDArray[np.bool_]:
    """Whether a compiled model is right, image by image, shape (n,); a last partial batch is filled up and
    cut off."""
    import torch

    from supernet.data import batches

    batch = int(compiled.inputs[0].shape[0])
    found = []
    for x, labels in batches(images, batch):
        filled = torch.cat([x, x[-1:].expand(batch - len(x), *x.shape[1:])]) if len(x) < batch else x
        scores = compiled([filled.numpy()])[0][: len(x)]
        found.append(scores.argmax(1) == labels.numpy())
    return np.concatenate(found)


def measure(
    material: Material,
    baseline: Built,
    finalists: Sequence[Built],
    target: Target,
    rng: np.random.Generator,
    bar: Progress,
    witnesses: Sequence[Witness] = (),
) -> Measurement:
    """Latency and throughput of everyone, beside the baseline; of `witnesses` the latency."""
    from profiling.load import samples_per_s
    from profiling.machine import throughput_target
    from supernet.int8 import to_openvino

    fp32 = to_openvino(traced(material), material.example)
    models = [fp32, *(built.exported.model for built in finalists)]
    task = bar.add_task("measuring finalists", total=2 * COPIES * ROUNDS, note="latency")
    anchor_us, ratios = compare(
        baseline.exported.model,
        [*models, *(w.model for w in witnesses)],
        target,
        rng,
        lambda: bar.update(task, advance=1),
    )
    single, of_witnesses = ratios[: 1 + len(models)], ratios[1 + len(models) :]
    wide = throughput_target(target)
    bar.update(task, completed=COPIES * ROUNDS, note="throughput")
    busy_us, busy = compare(baseline.exported.model, models, wide, rng, lambda: bar.update(task, advance=1))
    bar.update(task, completed=2 * COPIES * ROUNDS)

    def measured(one: Ratio, other: Ratio) -> Measured:
        return Measured(
            latency_us=anchor_us * one.value,
            throughput_sps=samples_per_s(busy_us * other.value, wide),
            speedup=single[0].over(one),
            throughput_speedup=busy[0].over(other),
            speedup_fp32=single[1].over(one),
            throughput_speedup_fp32=busy[1].over(other),
        )

    base, plain, *others = (measured(one, other) for one, other in zip(single, busy, strict=True))
    testimonies = (
        Testimony(w.architecture, w.then_us, anchor_us * r.value)
        for w, r in zip(witnesses, of_witnesses, strict=True)
    )
    return Measurement(anchor_us, base, plain, tuple(others), tuple(testimonies))
