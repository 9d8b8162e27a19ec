"""`python -m predictor.train`: trains a latency predictor on the measurements of one or more studies."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictor.registry import PREDICTORS
from supernet import cli
from supernet.study import Study

if TYPE_CHECKING:
    from predictor.dataset import Dataset


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("predictor.train", "Train a latency predictor on a study's measurements.")
    parser.add_argument("--predictor", choices=sorted(PREDICTORS), default="xgb")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="STUDY",
        help="a further study of this machine and target",
    )
    parser.add_argument("--name", help="of the folder that it is saved in (default: the predictor's)")
    return cli.run(train, parser.parse_args(argv))


def predictor_folder(study: Study, runs_dir: Path, name: str) -> Path:
    """Where a study's predictor is kept."""
    return runs_dir / study.name / "predictor" / name


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fits on the training part of the measurements and saves; returns a summary."""
    from predictor.conformal import out_of_fold
    from predictor.dataset import load_dataset
    from predictor.metrics import accuracy_of
    from predictor.registry import make_predictor
    from predictor.saved import save
    from profiling.collect import store_path

    study = Study.load(arguments.study)
    studies = [study, *map(Study.load, arguments.also)]
    data = load_dataset([store_path(s, arguments.runs_dir) for s in studies], seed=arguments.seed)
    _require_here(data)
    out = cli.console(arguments)
    start = time.monotonic()
    predictor = data.fit(make_predictor(arguments.predictor, seed=arguments.seed), data.train)
    seconds = time.monotonic() - start
    residuals = out_of_fold(predictor, data.train, seed=arguments.seed)
    folder = predictor_folder(study, arguments.runs_dir, arguments.name or arguments.predictor)
    facts = {**data.meta, "anchor_us": data.anchor_us, "seed": arguments.seed}
    save(arguments.predictor, predictor, data.plans, data.train, facts, folder, residuals=residuals)
    found = accuracy_of(data.latencies(data.test), predictor.predict([e.network for e in data.test]))
    out.print(
        f"{arguments.predictor}: trained on {len(data.train)} networks in {seconds:.1f} s; on "
        f"{len(data.test)} unseen ones its mean error is {found['mape']:.2%}, Kendall tau "
        f"{found['kendall_tau']:.3f}; saved to {folder}"
    )
    return {
        "study": study.name,
        "studies": list(data.plans),
        "predictor": arguments.predictor,
        "folder": str(folder),
        "train_networks": len(data.train),
        "test_networks": len(data.test),
        "network": found,
    }


def _require_here(data: Dataset) -> None:
    from profiling.machine import describe_difference, read_machine
    from supernet.errors import OvnasError

    elsewhere = describe_difference(data.meta["machine"], read_machine())
    if elsewhere:
        raise OvnasError(
            f"these were measured elsewhere ({elsewhere}); measure here, with another --runs-dir"
        )


if __name__ == "__main__":
    sys.exit(main())
