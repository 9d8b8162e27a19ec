"""What a search works on: the super-network, the pre-trained model and the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.quality import Macs, Quality, ValidationAccuracy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from supernet.data import Splits
    from supernet.elastic import ElasticNetwork
    from supernet.study import Study

__all__ = ["Material", "load_material"]

SYNTHETIC_CALIBRATION_SAMPLES = 16


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


def load_material(
    study: Study, runs_dir: Path, target: dict[str, Any], evaluations: Path
) -> tuple[Material, Quality]:
    """The study's trained super-network and its validation accuracy; for a study without data the untrained
    one, and MACs as the declared stand-in. Raises OvnasError where nothing was trained."""
    import torch

    from supernet.checkpoint import example_input, load_supernet, make_model, make_network
    from supernet.data import load_splits, take
    from supernet.train import BATCHNORM_SAMPLES

    example = example_input(study, batch=target["batch"])
    if study.data.name == "none":
        network = make_network(study)
        generator = torch.Generator().manual_seed(0)
        n = SYNTHETIC_CALIBRATION_SAMPLES * target["batch"]
        noise = torch.randn(n, *study.model.input_shape, generator=generator)
        return Material(network, make_model(study), None, None, noise, example), Macs(network.space)
    supernet = runs_dir / study.name / "supernet"
    network, pretrained = load_supernet(study, supernet)
    splits = load_splits(study)
    samples = take(splits.train, BATCHNORM_SAMPLES)
    calibration = take(splits.train, study.search.calibration_samples)
    quality = ValidationAccuracy(
        network,
        splits,
        samples,
        supernet / "supernet.safetensors",
        evaluations,
        n_images=study.search.evaluation_samples,
    )
    return Material(network, pretrained, splits, samples, calibration, example), quality
