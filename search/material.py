"""What a search works on: the super-network, the pre-trained model and the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.quality import Macs, Quality, ValidationAccuracy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from profiling.target import Target
    from supernet.architecture import Architecture
    from supernet.batchnorm import Reestimator
    from supernet.data import Splits
    from supernet.elastic import ElasticNetwork
    from supernet.study import Study

__all__ = ["Material", "load_material"]


@dataclass(frozen=True)
class Material:
    """What finalists are made of and judged by; `supernet` is the folder of the trained super-network.
    Without `splits`, samples are random, there is no accuracy, and nothing was trained."""

    network: ElasticNetwork
    pretrained: nn.Module
    splits: Splits | None
    reestimator: Reestimator | None
    calibration: Tensor
    example: Tensor
    supernet: Path | None

    @property
    def n_batchnorm_samples(self) -> int | None:
        """Images that BatchNorm statistics are averages over, None where they stay as they are."""
        return None if self.reestimator is None else self.reestimator.n_samples

    def extract(self, architecture: Architecture) -> tuple[nn.Module, dict[str, Any] | None]:
        """A sub-network to be judged and exported, with BatchNorm statistics of its own; and how, if it was,
        `supernet.finetune` has trained it on: epochs in all (0: none made it better), and the last
        learning_rate and seed."""
        from supernet.checkpoint import finetuning_of, load_finetuned

        if self.reestimator is None or self.supernet is None:
            return self.network.extract(architecture), None
        kept = load_finetuned(self.network, self.supernet, architecture)
        if kept is None:
            return self.reestimator.extract(architecture), None
        module, facts = kept
        trained = finetuning_of(facts)
        epochs = [one["epochs"] for one in trained]
        last = trained[-1] if trained else {"learning_rate": None, "seed": None}
        return module, {**last, "epochs": None if None in epochs else sum(epochs)}


def load_material(
    study: Study, runs_dir: Path, target: Target, evaluations: Path
) -> tuple[Material, Quality]:
    """The study's trained super-network and its validation accuracy; for a study without data the untrained
    one, and MACs as the declared stand-in. Raises OvnasError where nothing was trained."""
    from supernet.batchnorm import Reestimator
    from supernet.checkpoint import load_supernet
    from supernet.data import load_splits, take
    from supernet.study_model import example_input, make_network, make_stand_in, noise
    from supernet.train import BATCHNORM_SAMPLES

    example = example_input(study, batch=target["batch"])
    if study.data.name == "none":
        network = make_network(study)
        samples = noise(study, batch=target["batch"])
        return Material(network, make_stand_in(study), None, None, samples, example, None), Macs(
            network.space
        )
    supernet = runs_dir / study.name / "supernet"
    network, pretrained = load_supernet(study, supernet)
    splits = load_splits(study)
    reestimator = Reestimator(network, take(splits.train, BATCHNORM_SAMPLES))
    batch = target["batch"]
    calibration = take(splits.train, study.search.calibration_samples)
    calibration = calibration[: max(batch, len(calibration) // batch * batch)]  # whole batches are used
    quality = ValidationAccuracy(
        reestimator,
        splits,
        supernet / "supernet.safetensors",
        evaluations,
        n_images=study.search.evaluation_samples,
    )
    return Material(network, pretrained, splits, reestimator, calibration, example, supernet), quality
