"""`python -m predictor.train`: trains a latency predictor on the measurements of one or more studies."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictor.registry import ADAPTED, PREDICTORS
from supernet import cli
from supernet.study import Study

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from predictor.base import LatencyPredictor
    from predictor.dataset import Dataset

# No names that are files of the predictors' folder, or lead out of it.
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.+-]*"


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("predictor.train", "Train a latency predictor on a study's measurements.")
    kinds = sorted(set(PREDICTORS) - {ADAPTED})
    parser.add_argument("--predictor", choices=kinds, help="the kind (default: xgb)")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="STUDY",
        help="one more study of this machine and target",
    )
    parser.add_argument("--name", help="of the folder to save it in (default: the kind's)")
    parser.add_argument("--tune", action="store_true", help="choose its parameters by cross-validation first")
    parser.add_argument(
        "--from", dest="base", type=Path, metavar="PREDICTOR_FOLDER",
        help="adapt this one, trained under other conditions",
    )  # fmt: skip
    parser.add_argument(
        "--measurements", type=int, metavar="N", help="learn from the first N networks of each study only"
    )
    parser.set_defaults(tuning=None)
    return cli.run(train, parser.parse_args(argv))


def predictor_folder(study: Study, runs_dir: Path, name: str) -> Path:
    """Where a study's predictor is kept."""
    return runs_dir / study.name / "predictor" / name


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fits on the training part of the measurements and saves; returns a summary.

    `arguments.tuning`: trials of an earlier tuning, best first, whose parameters are taken again.
    """
    import numpy as np

    from predictor.conformal import by_study, out_of_fold
    from predictor.dataset import load_dataset
    from predictor.metrics import accuracy_of
    from predictor.saved import save
    from profiling.collect import store_path

    kind = ADAPTED if arguments.base else arguments.predictor or "xgb"
    _check(arguments, kind)
    study = Study.load(arguments.study)
    studies = [study, *map(Study.load, arguments.also)]
    paths = [store_path(s, arguments.runs_dir) for s in studies]
    data = load_dataset(paths, seed=arguments.seed, n_train=arguments.measurements)
    _require_here(data)
    out = cli.console(arguments)
    facts = {**data.meta, "anchor_us": data.anchor_us, "seed": arguments.seed}
    predictor, origin = _unfitted(arguments, kind)
    if arguments.tune:
        origin["tuning"] = _tune(predictor, data, arguments)
    elif arguments.tuning:
        predictor.set_params(**arguments.tuning[0]["parameters"])
        origin["tuning"] = arguments.tuning
    start = time.monotonic()
    data.fit(predictor, data.train)
    seconds = time.monotonic() - start
    residuals = out_of_fold(predictor, data.train, seed=arguments.seed)
    folder = predictor_folder(study, arguments.runs_dir, arguments.name or kind)
    seen = origin.get("adapted_from", {}).get("train_architectures", {})
    kept = by_study(residuals, data.train, seen)
    for line in _known_to_base(data, seen):
        out.print(line, soft_wrap=True)
    unlike = _unlike(predictor, data, arguments)
    save(
        kind,
        predictor,
        data.plans,
        data.train,
        {**facts, **origin},
        folder,
        residuals=kept,
        unlike_residuals=unlike,
    )
    unseen = [e for e in data.test if str(e.record.architecture) not in seen.get(e.study, ())]
    measured, judged = data.latencies(unseen), "unseen ones"
    predicted = predictor.predict([e.network for e in unseen])
    if not unseen:
        measured, judged = data.latencies(data.train), "of them, each left out in turn,"
        predicted = measured / np.exp(residuals)
    found = accuracy_of(measured, predicted)
    out.print(
        f"{kind}: trained on {len(data.train)} networks in {seconds:.1f} s; on {len(measured)} {judged} its "
        f"mean error is {found['mape']:.2%}, Kendall tau {found['kendall_tau']:.3f}; saved to {folder}"
    )
    for line in _intervals(kept):
        out.print(line)
    return {
        "study": study.name,
        "studies": list(data.plans),
        "predictor": kind,
        "folder": str(folder),
        "train_networks": len(data.train),
        "test_networks": len(unseen),
        "parameters": {
            k: v for k, v in predictor.get_params(deep=False).items() if isinstance(v, int | float)
        },
        "network": found,
    }


def _unlike(
    predictor: LatencyPredictor, data: Dataset, arguments: argparse.Namespace
) -> dict[str, NDArray[np.float64]]:
    """By study, the residuals of kernels held out; of an adapted predictor those of its base, which knows
    every place already. Empty for a predictor that knows no kernels."""
    from predictor.base import KernelPredictor
    from predictor.conformal import by_study
    from predictor.saved import load
    from predictor.unlike import out_of_place

    if arguments.base is not None:
        return dict(load(arguments.base).card["unlike_residuals"])
    if not isinstance(predictor, KernelPredictor):
        return {}
    found = out_of_place(predictor, data.train, seed=arguments.seed)
    return by_study(found, data.train) if len(found) else {}


def _known_to_base(data: Dataset, seen: dict[str, list[str]]) -> list[str]:
    """A note for each study whose intervals rest also on networks that the base learned from."""
    from predictor.conformal import FEWEST

    lines = []
    for study in data.plans:
        own = [str(e.record.architecture) for e in data.train if e.study == study]
        known = len({*own} & {*seen.get(study, ())})
        if known and len(own) - known < FEWEST:
            lines.append(
                f"note: the base learned from {known} of the {len(own)} networks of {study}, so that its "
                f"intervals may be too narrow; measure {FEWEST} others, with profiling.collect --seed 1"
            )
    return lines


def _intervals(residuals: dict[str, NDArray[np.float64]]) -> list[str]:
    """What the intervals of each study are, or why there is none."""
    import math

    from predictor.conformal import LEVEL, fewest_residuals, half_width

    lines = []
    for study, own in residuals.items():
        width = half_width(own)
        lines.append(
            f"{study}: {LEVEL:.0%} interval of -{-math.expm1(-width):.2%} to +{math.expm1(width):.2%}"
            if math.isfinite(width)
            else f"{study}: too few networks for a {LEVEL:.0%} interval ({fewest_residuals()} are needed)"
        )
    return lines


def _check(arguments: argparse.Namespace, kind: str) -> None:
    import re

    from predictor.dataset import MIN_LEARNED
    from supernet.errors import OvnasError

    if arguments.base and arguments.predictor:
        raise OvnasError("--from adapts a predictor of its own kind; leave out --predictor")
    if arguments.measurements is not None and arguments.measurements < MIN_LEARNED:
        raise OvnasError(f"--measurements must be >= {MIN_LEARNED}, but got {arguments.measurements}")
    if arguments.name is not None and not re.fullmatch(_NAME, arguments.name):
        raise OvnasError(f"--name must be letters, digits and any of _.+-, but got {arguments.name!r}")
    if arguments.name is not None and arguments.name.startswith("report."):
        raise OvnasError(f"--name {arguments.name} is a file of the report's; take another")
    if arguments.name in PREDICTORS and arguments.name != kind:
        raise OvnasError(
            f"--name {arguments.name} is a kind of predictor, but this one is of kind {kind}; take another"
        )


def _unfitted(arguments: argparse.Namespace, kind: str) -> tuple[LatencyPredictor, dict[str, Any]]:
    """The predictor to fit, and what the card says of the one that it is adapted from."""
    from predictor.adapted import AdaptedPredictor
    from predictor.base import KernelPredictor
    from predictor.registry import make_predictor
    from predictor.saved import load
    from supernet.errors import OvnasError

    if arguments.base is None:
        return make_predictor(kind, seed=arguments.seed), {}
    saved = load(arguments.base)
    if not isinstance(saved.predictor, KernelPredictor):
        raise OvnasError(f"{arguments.base} predicts no kernels, so it cannot be adapted; take another kind")
    facts: dict[str, Any] = {
        key: saved.card[key] for key in ("name", "predictor", "data_hash", "machine", "target")
    }
    facts["train_architectures"] = _learned(saved.card)
    predictor = AdaptedPredictor(saved.predictor, saved.conditions, seed=arguments.seed)
    return predictor, {"adapted_from": facts}


def _learned(card: dict[str, Any]) -> dict[str, list[str]]:
    """By study, the architectures that a predictor knows, also through what it was adapted from."""
    result = {study: list(own) for study, own in card["train_architectures"].items()}
    for study, own in card.get("adapted_from", {}).get("train_architectures", {}).items():
        result[study] = list(dict.fromkeys([*result.get(study, ()), *own]))
    return result


def _tune(predictor: LatencyPredictor, data: Dataset, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Sets its parameters to the best ones found; returns all trials, best first, for the card."""
    from predictor.tune import N_CANDIDATES, candidates_of, tune

    candidates_of(predictor)
    with cli.progress(cli.console(arguments)) as bar:
        task = bar.add_task("tuning", total=N_CANDIDATES, note="")
        trials = tune(
            predictor, data.train, seed=arguments.seed, on_trial=lambda trial: bar.update(task, advance=1)
        )
    best = trials[0]
    predictor.set_params(**best.parameters)
    chosen = ", ".join(f"{name} {value:g}" for name, value in best.parameters.items())
    cli.console(arguments).print(f"chosen by cross-validation over networks: {chosen} ({best.error:.2%})")
    return [trial.to_json() for trial in trials]


def _require_here(data: Dataset) -> None:
    from profiling.machine import describe_difference, read_machine
    from supernet.errors import OvnasError

    elsewhere = describe_difference(data.meta["machine"], read_machine())
    if elsewhere:
        raise OvnasError(
            f"these were measured elsewhere ({elsewhere}); move them away and collect here, or take another "
            "--runs-dir"
        )


if __name__ == "__main__":
    sys.exit(main())
