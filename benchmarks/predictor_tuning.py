"""Whether xgb's default parameters are what tuning finds, from measurement files:

    python benchmarks/predictor_tuning.py runs/resnet50/profiling/measurements.sqlite ...

tries the same sets of parameters on each file by cross-validation over the networks that
`predictor_accuracy.py` learns from: those that it judges on are never looked at. Every set's error is given
relative to that of the default ones (of when it was run), and its mean over the files with a bootstrap
interval over networks. The best of many sets looks better than it is; the judged networks have the last word.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from predictor_accuracy import N_TRAIN, split
from results_file import write_result

from predictor.bootstrap import interval, resamples
from predictor.dataset import load_dataset
from predictor.registry import make_predictor
from predictor.tune import Trial, tune
from supernet.errors import OvnasError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", help="stores of profiling.collect")
    parser.add_argument("-n", "--train", type=int, default=N_TRAIN, help="networks of each file")
    parser.add_argument("--candidates", type=int, default=24, help="sets of parameters, the default first")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    try:
        value = tuning(arguments)
    except OvnasError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for row in value["trials"]:
        low, high = row["over_default_interval"]
        print(f"{row['over_default']:.3f} ({low:.3f} to {high:.3f})  {row['errors']}  {row['parameters']}")
    write_result("predictor_tuning-xgb", value)
    return 0


def tuning(arguments: argparse.Namespace) -> dict[str, Any]:
    """Conditions and every trial, best mean first."""
    predictor = make_predictor("xgb", seed=arguments.seed)
    facts, found = [], []
    for path in arguments.files:
        whole = load_dataset([path], seed=arguments.seed)
        data = split([whole], arguments.train)
        facts.append(
            {"study": data.meta["study"], "target": data.meta["target"], "networks": len(data.train)}
        )
        trials: list[Trial] = []
        tune(predictor, data.train, n_candidates=arguments.candidates, seed=arguments.seed,
             on_trial=trials.append)  # fmt: skip
        found.append(trials)
    return {"seed": arguments.seed, "files": facts, "trials": compared(found, seed=arguments.seed)}


def compared(found: Sequence[Sequence[Trial]], *, seed: int = 0) -> list[dict[str, Any]]:
    """One row a set of parameters, best first. `found` has the same sets for each file, in the same order,
    the default ones first. `over_default` is the mean over the files of a set's error over the default's,
    with the interval of resampled networks, the same ones for both."""
    drawn = [resamples(len(trials[0].errors), seed=seed + i) for i, trials in enumerate(found)]
    default = [np.array(trials[0].errors)[d].mean(axis=1) for trials, d in zip(found, drawn, strict=True)]
    rows = []
    for place, first in enumerate(found[0]):
        own = [trials[place] for trials in found]
        if any(trial.parameters != first.parameters for trial in own):
            raise ValueError("every file must have the same trials in the same order")
        ratios = [
            np.array(trial.errors)[d].mean(axis=1) / base
            for trial, d, base in zip(own, drawn, default, strict=True)
        ]
        spread = interval(np.mean(ratios, axis=0))
        rows.append(
            {
                "parameters": first.parameters,
                "was_default": place == 0,
                "errors": [round(trial.error, 6) for trial in own],
                "over_default": float(
                    np.mean([t.error / f[0].error for t, f in zip(own, found, strict=True)])
                ),
                "over_default_interval": spread.to_json(),
                "verdict": "better" if spread.high < 1 else "worse" if spread.low > 1 else "not told apart",
            }
        )
    return sorted(rows, key=lambda row: row["over_default"])


if __name__ == "__main__":
    sys.exit(main())
