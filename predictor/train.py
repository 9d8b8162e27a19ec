"""`python -m predictor.train`: trains a latency predictor on a study's measurements."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from predictor.registry import PREDICTORS
from supernet import cli
from supernet.study import Study


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("predictor.train", "Train a latency predictor on a study's measurements.")
    parser.add_argument("--predictor", choices=sorted(PREDICTORS), default="xgb")
    return cli.run(train, parser.parse_args(argv))


def predictor_folder(study: Study, runs_dir: Path, name: str) -> Path:
    """Where a study's predictor is kept."""
    return runs_dir / study.name / "predictor" / name


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fits on the training part of the measurements and saves; returns a summary."""
    import numpy as np

    from predictor.dataset import load_dataset
    from predictor.metrics import accuracy_of
    from predictor.registry import make_predictor
    from predictor.saved import save
    from profiling.collect import store_path
    from profiling.machine import describe_difference, read_machine
    from supernet.errors import OvnasError

    study = Study.load(arguments.study)
    data = load_dataset(store_path(study, arguments.runs_dir), seed=arguments.seed)
    out = cli.console(arguments)
    elsewhere = describe_difference(data.meta["machine"], read_machine())
    if elsewhere:
        raise OvnasError(
            f"these were measured elsewhere ({elsewhere}); measure here, with another --runs-dir"
        )
    start = time.monotonic()
    predictor = make_predictor(arguments.predictor, seed=arguments.seed).fit(data.train)
    seconds = time.monotonic() - start
    folder = predictor_folder(study, arguments.runs_dir, arguments.predictor)
    facts = {**data.meta, "anchor_us": data.anchor_us, "seed": arguments.seed}
    save(arguments.predictor, predictor, data.plan, data.train, facts, folder)
    predicted = predictor.predict([data.plan.of(r.architecture) for r in data.test])
    found = accuracy_of(np.array([r.latency_us for r in data.test]), predicted)
    out.print(
        f"{arguments.predictor}: trained on {len(data.train)} networks in {seconds:.1f} s; on "
        f"{len(data.test)} unseen ones its mean error is {found['mape']:.2%}, Kendall tau "
        f"{found['kendall_tau']:.3f}; saved to {folder}"
    )
    return {
        "study": study.name,
        "predictor": arguments.predictor,
        "folder": str(folder),
        "train_networks": len(data.train),
        "test_networks": len(data.test),
        "network": found,
    }


if __name__ == "__main__":
    sys.exit(main())
