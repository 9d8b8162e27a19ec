"""`python -m predictor.report`: how true the predictions are, as JSON, CSV and HTML."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet import cli
from supernet.study import Study

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from predictor.dataset import Dataset, Example
    from predictor.evaluation import Evaluation
    from predictor.judgement import Judgement
    from predictor.learning_curve import Point
    from predictor.saved import SavedPredictor

# 1: first.
# 2: bootstrap intervals, the interval's coverage, differences to baselines, regret, learning curve, worst.
SCHEMA_VERSION = 2
N_WORST = 10
WORST_KERNELS = 6


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(
        "predictor.report", "Judge a study's predictor on architectures held out from its training."
    )
    parser.add_argument(
        "--repeats", type=int, default=3, metavar="N", help="draws of the learning curve; 0 leaves it out"
    )
    parser.add_argument(
        "--quality",
        type=Path,
        metavar="CSV",
        help="columns architecture and quality, held against latency in the decision (default: MACs)",
    )
    return cli.run(report, parser.parse_args(argv))


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """Writes report.json, report.csv and report.html; returns what report.json holds."""
    from predictor.dataset import load_dataset
    from predictor.evaluation import evaluate, fit_and_evaluate
    from predictor.judgement import judge
    from predictor.registry import BASELINES
    from predictor.report_page import COLUMNS, Material, plain_rows, report_page
    from profiling.ceiling import ceiling_of
    from profiling.collect import store_path
    from supernet.checkpoint import write_json
    from supernet.errors import OvnasError

    if arguments.repeats < 0:
        raise OvnasError(f"--repeats must be >= 0, but got {arguments.repeats}")
    study = Study.load(arguments.study)
    folder: Path = arguments.runs_dir / study.name / "predictor"
    saved = _saved(folder)
    data = load_dataset([store_path(study, arguments.runs_dir)], seed=saved[0].card["seed"])
    quality, quality_name = _quality(arguments.quality, data.test)
    evaluations = []
    for one in saved:
        _require_unseen(one, data)
        interval = functools.partial(one.interval, study=study.name)
        evaluations.append(evaluate(one.name, one.predictor, data, interval))
    trained = {e.name for e in evaluations}
    evaluations += [fit_and_evaluate(b, data, seed=data.seed) for b in BASELINES if b not in trained]
    judgements = judge(evaluations, quality, seed=data.seed)
    points = _learning_curve(arguments, data, saved)
    ceiling = ceiling_of([e.record for e in data.examples])
    names = [str(e.record.architecture) for e in data.test]
    importance = _importance(saved[0])
    value = {
        "schema_version": SCHEMA_VERSION,
        **data.meta,
        "counts": {
            "train_networks": len(data.train),
            "test_networks": len(data.test),
            "kernels": sum(len(e.record.kernels) for e in data.examples),
            "ceiling_networks": ceiling["networks"],
        },
        "ceiling": {key: ceiling[key] for key in ("mape", "floor", "kendall_tau")},
        "quality": quality_name,
        "predictors": {j.name: j.to_json() for j in judgements},
        "learning_curve": [p.to_json() for p in points],
        "worst": worst_networks(evaluations[0], names, [e.record.overhead_us for e in data.test]),
        "importance": importance,
    }
    write_json(value, folder / "report.json")
    _write_csv(evaluations, names, data, folder / "report.csv")
    page = report_page(Material(value, judgements, names, quality, points))
    page.write(folder / "report.html")
    out = cli.console(arguments)
    title = f"{len(data.test)} unseen networks of {study.name}"
    cli.print_table(out, title, COLUMNS, plain_rows(value))
    out.print(_verdict(judgements))
    out.print(f"report: {folder / 'report.html'}", soft_wrap=True)
    return value


def worst_networks(
    evaluation: Evaluation, names: Sequence[str], overhead_us: Sequence[float]
) -> list[dict[str, Any]]:
    """The networks with the largest relative errors, worst first, each with the kernels (by the author's
    layers) whose predicted time differs most from the measured one. `overhead_us` is what was measured
    of each network's fixed cost. The differences of a network's kernels and of its fixed cost sum to that
    of its latency, but for kernels that the plan and the execution do not share."""
    import numpy as np

    result = []
    for place in np.argsort(-np.abs(evaluation.error), kind="stable")[:N_WORST]:
        kernels: list[dict[str, Any]] = []
        if evaluation.knows_kernels:
            own = np.flatnonzero(evaluation.kernel_networks == place)
            rows: list[dict[str, Any]] = [
                {
                    "layer": evaluation.kernel_layers[i],
                    "kind": evaluation.kernel_kinds[i],
                    "measured_us": float(evaluation.kernel_measured[i]),
                    "predicted_us": float(evaluation.kernel_predicted[i]),
                }
                for i in own
            ]
            rows.append(
                {
                    "layer": "(fixed cost of an inference)",
                    "kind": "",
                    "measured_us": float(overhead_us[place]),
                    "predicted_us": evaluation.overhead,
                }
            )
            rows = [{**r, "difference_us": r["predicted_us"] - r["measured_us"]} for r in rows]
            kernels = sorted(rows, key=lambda r: -abs(r["difference_us"]))[:WORST_KERNELS]
        result.append(
            {
                "architecture": names[place],
                "measured_us": float(evaluation.measured[place]),
                "predicted_us": float(evaluation.predicted[place]),
                "error": float(evaluation.error[place]),
                "kernels": kernels,
            }
        )
    return result


def _saved(folder: Path) -> list[SavedPredictor]:
    """All that were trained for this study; `xgb` first."""
    from predictor.saved import CARD, load
    from supernet.errors import OvnasError

    found = sorted(folder.glob(f"*/{CARD}"), key=lambda file: (file.parent.name != "xgb", file.parent.name))
    if not found:
        raise OvnasError(
            f"there is no trained predictor in {folder}; make one with python -m predictor.train "
            "(same --study and --runs-dir)"
        )
    return [load(file.parent) for file in found]


def _require_unseen(saved: SavedPredictor, data: Dataset) -> None:
    """A predictor of this study alone must have learned from exactly the training networks; one of
    several studies, or an adapted one, from none of the test networks."""
    from predictor.saved import data_hash
    from supernet.errors import OvnasError

    if saved.card["data_hash"] == data_hash(data.train):
        return
    study = data.meta["study"]
    learned = set(saved.card["train_architectures"].get(study, ()))
    is_of_other_data = len(saved.plans) > 1 or len(learned) < len(data.train)
    # What its base has seen, if it was adapted, it has seen too.
    learned |= set(saved.card.get("adapted_from", {}).get("train_architectures", {}).get(study, ()))
    if is_of_other_data and learned.isdisjoint(str(e.record.architecture) for e in data.test):
        return
    raise OvnasError(
        f"predictor {saved.name!r} was trained on other measurements than are here now, or with "
        f"another seed; train it again with python -m predictor.train --predictor "
        f"{saved.card['predictor']} --seed {data.seed}"
    )


def _quality(file: Path | None, examples: Sequence[Example]) -> tuple[NDArray[np.float64], str]:
    """Of the test networks, NaN where the file does not know one; and what it is."""
    import numpy as np
    import pandas as pd

    from supernet.errors import OvnasError

    if file is None:
        return np.array([float(e.record.macs) for e in examples]), "MACs"
    if not file.is_file():
        raise OvnasError(f"there is no file {file}; --quality takes a CSV with architecture and quality")
    try:
        table = pd.read_csv(file)
        found = dict(zip(table["architecture"].astype(str), table["quality"].astype(float), strict=True))
    except (KeyError, ValueError, UnicodeDecodeError):
        raise OvnasError(f"{file} must be a CSV with the columns architecture and quality") from None
    quality = np.array([found.get(str(e.record.architecture), np.nan) for e in examples], dtype=np.float64)
    if not np.isfinite(quality).any():
        raise OvnasError(f"{file} has none of the {len(examples)} test networks")
    return quality, "quality"


def _learning_curve(
    arguments: argparse.Namespace, data: Dataset, saved: Sequence[SavedPredictor]
) -> list[Point]:
    from predictor.learning_curve import curve_sizes, learning_curve
    from predictor.registry import ADAPTED, BASELINES

    if arguments.repeats == 0:
        return []
    kinds = [k for k in dict.fromkeys([saved[0].card["predictor"], *BASELINES]) if k != ADAPTED]
    with cli.progress(cli.console(arguments)) as bar:
        sizes = len(curve_sizes(len(data.train)))
        total = len(kinds) * ((sizes - 1) * arguments.repeats + 1)
        task = bar.add_task("learning curve", total=total, note="")
        return learning_curve(
            data, kinds, repeats=arguments.repeats, seed=data.seed, advance=lambda: bar.advance(task)
        )


def _importance(saved: SavedPredictor) -> dict[str, float]:
    find = getattr(saved.predictor, "importance", None)
    return {} if find is None else find()


def _write_csv(evaluations: Sequence[Evaluation], names: Sequence[str], data: Dataset, path: Path) -> None:
    import pandas as pd

    table = pd.DataFrame(
        {
            "architecture": names,
            "macs": [e.record.macs for e in data.test],
            "measured_us": evaluations[0].measured,
        }
    )
    for evaluation in evaluations:
        table[f"{evaluation.name}_us"] = evaluation.predicted
        table[f"{evaluation.name}_low_us"] = evaluation.low
        table[f"{evaluation.name}_high_us"] = evaluation.high
    partial = path.with_name(path.name + ".partial")
    table.to_csv(partial, index=False)
    partial.replace(path)


def _verdict(judgements: Sequence[Judgement]) -> str:
    """Which baselines the first predictor beats, in one line."""
    best = judgements[0]
    beaten = [other for other in best.against if best.beats(other)]
    not_beaten = [other for other in best.against if other not in beaten]
    parts = [f"better than {', '.join(beaten)} in mean error and tau"] if beaten else []
    if not_beaten:
        parts.append(f"not surely better in both than {', '.join(not_beaten)}")
    return f"{best.name}: {'; '.join(parts)} (95 % bootstrap interval)" if parts else ""


if __name__ == "__main__":
    sys.exit(main())
