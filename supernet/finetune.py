"""`python -m supernet.finetune`: trains one sub-network on, alone, in float32 or as INT8."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet import cli
from supernet.study import Study

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from torch import nn

    from supernet.architecture import Architecture
    from supernet.compute import Compute
    from supernet.data import Images, Splits
    from supernet.distributed import World
    from supernet.keeper import Keeper

CALIBRATION_SAMPLES = 300
_RATE = {False: 0.01, True: 0.001}


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(
        "supernet.finetune",
        "Train one sub-network on with weights of its own, taught by the pre-trained model; with --int8 "
        "after that as INT8, to win back what quantisation loses.",
    )
    parser.add_argument(
        "--architecture", required=True, metavar="TEXT", help="as front.csv and the report write it"
    )
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, help="default: 0.01, with --int8 0.001")
    parser.add_argument("--int8", action="store_true", help="quantisation-aware, to an OpenVINO model")
    parser.add_argument("--force", action="store_true", help="go on over an earlier result")
    return cli.run(finetune, parser.parse_args(argv))


def finetune(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fine-tunes and saves; returns the accuracies before and after, in the first of several processes.

    What is saved is never worse on the validation images than what it began with.
    """
    from supernet.distributed import joined_world
    from supernet.errors import OvnasError

    rate = _RATE[arguments.int8] if arguments.learning_rate is None else arguments.learning_rate
    if arguments.epochs < 1 or not 0 < rate < float("inf"):
        raise OvnasError("--epochs must be >= 1 and --learning-rate > 0")
    with joined_world() as world:
        return _in_world(arguments, rate, world)


def _in_world(arguments: argparse.Namespace, rate: float, world: World) -> dict[str, Any]:
    from functools import partial

    import torch

    from supernet import checkpoint
    from supernet.architecture import Architecture
    from supernet.batchnorm import reestimate
    from supernet.data import load_splits, take
    from supernet.errors import OvnasError
    from supernet.resized import images_of
    from supernet.train import BATCHNORM_SAMPLES

    study = Study.load(arguments.study)
    home: Path = arguments.runs_dir / study.name / "supernet"
    network, teacher = checkpoint.load_supernet(study, home)
    architecture = Architecture.parse(arguments.architecture)
    network.space.encode(architecture)
    images = partial(images_of, network.space, architecture)
    splits = load_splits(study)
    done = checkpoint.finetuned_int8_folder(home, architecture) / "model.xml"
    if arguments.int8 and done.is_file() and not arguments.force:
        raise OvnasError(f"{architecture} was fine-tuned as INT8 already: {done}; --force makes it again")
    out = cli.console(arguments)
    out.quiet = not world.is_first
    arguments.json &= world.is_first
    torch.manual_seed(arguments.seed)
    kept = checkpoint.load_finetuned(network, home, architecture)
    if kept is None:
        module = network.extract(architecture)
        reestimate(module, images(take(splits.train, BATCHNORM_SAMPLES)))
    elif arguments.int8 or arguments.force:
        module = kept[0]
    else:
        raise OvnasError(f"{architecture} is fine-tuned already; --force trains on from there")
    tuner = _Tuner(study, splits, arguments.epochs, rate, arguments.seed, home, out, images, world)
    earlier = [] if kept is None else checkpoint.finetuning_of(kept[1])
    facts = {"study": study.name, "architecture": str(architecture), "macs": network.space.macs(architecture)}
    if arguments.int8:
        return {**facts, **_finetune_int8(tuner, module, teacher, architecture)}
    return {**facts, **_finetune(tuner, module, teacher, architecture, earlier)}


def _finetune(
    tuner: _Tuner,
    module: nn.Module,
    teacher: nn.Module,
    architecture: Architecture,
    earlier: list[dict[str, Any]],
) -> dict[str, Any]:
    """`earlier`: what `module` has been fine-tuned by before."""
    import copy

    from supernet import checkpoint
    from supernet.batchnorm import reestimate
    from supernet.data import take
    from supernet.train import BATCHNORM_SAMPLES
    from supernet.whole_files import save_state

    before = copy.deepcopy(module)
    keeper, compute = tuner.train(module, teacher, architecture, is_int8=False)
    if not tuner.world.is_first:
        return {}
    module, before = compute.module(module), compute.module(before).eval()
    samples = compute.images(take(tuner.splits.train, BATCHNORM_SAMPLES))
    n = reestimate(module, tuner.images(samples))
    found = tuner.facts | tuner.compared(before, module, compute.exact) | {"batchnorm_samples": n}
    better = (module if found["is_better"] else before).to("cpu")
    found["finetuning"] = [*earlier, tuner.facts] if found["is_better"] else earlier
    path = checkpoint.finetuned_path(tuner.home, architecture)
    save_state(better.state_dict(), path, facts=found | checkpoint.origin_of(tuner.home))
    keeper.remove()
    tuner.out.print(f"saved to {path}")
    return {**found, "path": str(path)}


def _finetune_int8(
    tuner: _Tuner, module: nn.Module, teacher: nn.Module, architecture: Architecture
) -> dict[str, Any]:
    import openvino as ov

    from supernet import checkpoint
    from supernet.data import take
    from supernet.quantization_aware import insert_quantizers, quantized_to_openvino
    from supernet.study_model import example_input
    from supernet.vnni import this_cpu_has_vnni
    from supernet.whole_files import write_json

    n = min(CALIBRATION_SAMPLES, tuner.study.search.calibration_samples)
    samples = tuner.images(take(tuner.splits.train, n))
    example = tuner.images(example_input(tuner.study, batch=tuner.study.target.batch))
    half_range = not this_cpu_has_vnni()
    quantized = insert_quantizers(module, samples, half_range=half_range)  # type: ignore[arg-type]
    models = [quantized_to_openvino(quantized, example)]
    keeper, _ = tuner.train(quantized, teacher, architecture, is_int8=True)
    if not tuner.world.is_first:
        return {}
    models.append(quantized_to_openvino(quantized, example))
    found = tuner.facts | tuner.compared(*(_compiled(model) for model in models))
    folder = checkpoint.finetuned_int8_folder(tuner.home, architecture)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.json").unlink(missing_ok=True)  # a search takes up what has one
    ov.save_model(models[found["is_better"]], folder / "model.xml", compress_to_fp16=False)
    facts = found | {"half_range_weights": half_range} | checkpoint.origin_of(tuner.home)
    facts["weights"] = checkpoint.digest(checkpoint.finetuned_path(tuner.home, architecture))
    write_json(facts, folder / "card.json")
    keeper.remove()
    tuner.out.print(f"saved to {folder}")
    return {**found, "path": str(folder)}


def _compiled(model: Any) -> Any:
    """An OpenVINO model as a function of a batch of images to logits."""
    import numpy as np
    import openvino as ov
    import torch

    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    batch = int(compiled.inputs[0].shape[0])

    def answers(x: torch.Tensor) -> torch.Tensor:
        whole = torch.cat([x, x[-1:].expand(-len(x) % batch, *x.shape[1:])])  # a last part is filled up
        scores = [compiled(part.numpy())[0] for part in torch.split(whole, batch)]
        return torch.from_numpy(np.concatenate(scores)[: len(x)])

    return answers


class _Tuner:
    """What fine-tuning in float32 and as INT8 have in common. `images` makes of the study's images those that
    the sub-network takes; its teacher sees them as they are."""

    def __init__(
        self,
        study: Study,
        splits: Splits,
        epochs: int,
        rate: float,
        seed: int,
        home: Path,
        out: Console,
        images: Callable[[Any], Any],
        world: World,
    ) -> None:
        self.study, self.splits, self.epochs, self.rate = study, splits, epochs, rate
        self.seed, self.home, self.out, self.images, self.world = seed, home, out, images, world

    @property
    def facts(self) -> dict[str, Any]:
        """How it was trained, for what is saved."""
        return {"epochs": self.epochs, "learning_rate": self.rate, "seed": self.seed}

    def train(
        self, module: nn.Module, teacher: nn.Module, architecture: Architecture, *, is_int8: bool
    ) -> tuple[Keeper, Compute]:
        """In place, going on where an earlier start was interrupted; INT8 in float32, whatever is faster.
        Returns the kept state, to be removed once the result is saved, and what it was computed by."""
        from supernet import checkpoint
        from supernet.data import take
        from supernet.keeper import Keeper
        from supernet.phase import kept_compute, run_phase
        from supernet.sandwich import teacher_step
        from supernet.training import Fit, Recipe
        from supernet.training_log import TrainingLog

        own = checkpoint.finetuned_path(self.home, architecture)
        recipe = {"epochs": str(self.epochs), "learning rate": str(self.rate)}
        keeper = Keeper(
            own.with_suffix(".int8.unfinished" if is_int8 else ".unfinished"),
            self.study,
            self.seed,
            TrainingLog(None),
            origin={**checkpoint.origin_of(self.home), "weights": checkpoint.digest(own), **recipe},
            advice="delete it to begin anew",
            world=self.world,
        )
        self.out.print(f"fine-tuning {architecture}")
        if keeper.has_kept:
            self.out.print("going on with the interrupted fine-tuning")
        n = max(2, self.study.train.batch_size // self.world.size)
        batch = self.images(take(self.splits.train, n))
        precision = "float32" if is_int8 else self.study.train.precision
        compute = kept_compute(precision, module, batch, keeper)
        fit = Fit(
            module,
            self.splits.train,
            Recipe.of(self.study.train, self.epochs, self.rate),
            teacher_step(
                lambda x: module(self.images(x)), compute.module(teacher), self.study.train, compute
            ),
            seed=(self.seed, 100),
            compute=compute,
            world=self.world,
        )
        run_phase(
            fit, "INT8 fine-tuning" if is_int8 else "fine-tuning", 0, keeper, lambda: (None, None), self.out
        )
        module.to("cpu").eval()
        teacher.to("cpu")
        return keeper, compute

    def compared(self, before: Any, after: Any, compute: Compute | None = None) -> dict[str, Any]:
        """Accuracies of both on the validation and test images, and which one validates better."""
        from supernet.training import accuracy

        def judged(module: Any) -> dict[str, float]:
            parts: dict[str, Images] = {
                "validation": self.splits.validation,
                "test": self.splits.test,
            }
            return {name: accuracy(module, self.images(images), compute) for name, images in parts.items()}

        found: dict[str, Any] = {"before": judged(before), "after": judged(after)}
        found["is_better"] = found["after"]["validation"] >= found["before"]["validation"]
        text = ", ".join(f"{k} {found[k]['validation']:.2%}" for k in ("before", "after"))
        note = "" if found["is_better"] else "; the former is kept"
        self.out.print(f"validation accuracy: {text}{note}")
        return found


if __name__ == "__main__":
    sys.exit(main())
