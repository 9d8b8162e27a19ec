"""`python -m predictor.report`: how true the predictions are, as JSON, CSV and HTML."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet import cli
from supernet.replacing import replacing
from supernet.study import Study

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from predictor.dataset import Dataset, Example
    from predictor.evaluation import Evaluation, IntervalOf
    from predictor.judgement import Judgement
    from predictor.learning_curve import Point
    from predictor.saved import SavedPredictor

# 1: first.
# 2: bootstrap intervals, the interval's coverage, differences to baselines, regret, learning curve, worst.
# 3: one decision a quality in regret; floor and interval of the ceiling; networks that each predictor learned
#    from; predictors that were skipped; the interval by study, its width without a bootstrap interval; the
#    range of networks of no study.
SCHEMA_VERSION = 3
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
    from predictor.evaluation import evaluate, fit_and_evaluate
    from predictor.judgement import judge
    from predictor.registry import BASELINES
    from predictor.report_page import COLUMNS, Material, plain_rows, report_page
    from profiling.ceiling import ceiling_of, noise_note
    from profiling.collect import store_path
    from supernet.errors import OvnasError
    from supernet.whole_files import write_json

    if arguments.repeats < 0:
        raise OvnasError(f"--repeats must be >= 0, but got {arguments.repeats}")
    study = Study.load(arguments.study)
    folder: Path = arguments.runs_dir / study.name / "predictor"
    out = cli.console(arguments)
    saved, data, skipped = _fitting(_saved(folder), store_path(study, arguments.runs_dir))
    for reason in skipped.values():
        out.print(f"skipped: {reason}", soft_wrap=True)
    quality, quality_name = _quality(arguments.quality, data.test)
    evaluations = []
    for one in saved:
        evaluations.append(evaluate(one.name, one.predictor, data, _interval_of(one, study.name)))
    learned = {one.name: sum(map(len, one.card["train_architectures"].values())) for one in saved}
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
        "ceiling": {key: ceiling[key] for key in ("mape", "mape_interval", "floor", "kendall_tau")},
        "quality": quality_name,
        "predictors": {
            j.name: {"train_networks": learned.get(j.name, len(data.train)), **j.to_json()}
            for j in judgements
        },
        "skipped": skipped,
        "unlike": _unlike(saved[0]),
        "learning_curve": [p.to_json() for p in points],
        "worst": worst_networks(evaluations[0], names, [e.record.overhead_us for e in data.test]),
        "importance": importance,
    }
    write_json(value, folder / "report.json")
    _write_csv(evaluations, names, data, folder / "report.csv")
    page = report_page(Material(value, judgements, names, quality, points))
    page.write(folder / "report.html")
    title = f"{len(data.test)} unseen networks of {study.name}"
    cli.print_table(out, title, COLUMNS, plain_rows(value))
    out.print(_verdict(judgements))
    if note := noise_note(ceiling, judgements[0].values["mape"]):
        out.print(note, soft_wrap=True)
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
            f"there is no trained predictor in {folder}; make one with", command="predictor.train"
        )
    return [load(file.parent) for file in found]


def _fitting(
    found: Sequence[SavedPredictor], path: Path
) -> tuple[list[SavedPredictor], Dataset, dict[str, str]]:
    """Those that can be judged on the networks which the first of them held out, these measurements so
    split, and by name why the others cannot. Raises OvnasError if none can."""
    from predictor.dataset import load_dataset
    from supernet.errors import OvnasError

    unfit: dict[str, str] = {}
    for seed in dict.fromkeys(one.card["seed"] for one in found):
        data = load_dataset([path], seed=seed)
        reasons = {one.name: _why_unfit(one, data) for one in found}
        fitting = [one for one in found if not reasons[one.name]]
        if fitting:
            return fitting, data, {name: reason for name, reason in reasons.items() if reason}
        unfit = unfit or reasons
    raise OvnasError(next(iter(unfit.values())))


def _why_unfit(saved: SavedPredictor, data: Dataset) -> str:
    """Why it cannot be judged on the test networks, and what to do; empty if it can. One of this study
    alone must have learned from exactly the training networks; one of several studies, or of few networks,
    from none of the test networks. What the base of an adapted one has seen, it has seen, too."""
    from predictor.saved import data_hash

    study = data.meta["study"]
    test = {str(e.record.architecture) for e in data.test}
    learned = set(saved.card["train_architectures"].get(study, ()))
    before = set(saved.card.get("adapted_from", {}).get("train_architectures", {}).get(study, ()))
    is_of_other_data = len(saved.plans) > 1 or len(learned) < len(data.train)
    is_same = saved.card["data_hash"] == data_hash(data.train)
    if before & test:
        return (
            f"predictor {saved.name!r} was adapted from one that learned from {len(before & test)} of the "
            f"test networks; adapt one that did not with {_retraining(saved, data)}"
        )
    if is_same or (is_of_other_data and not learned & test):
        return ""
    return (
        f"predictor {saved.name!r} was trained on other measurements than are here now, or with "
        f"another seed; train it again with {_retraining(saved, data)}"
    )


def _retraining(saved: SavedPredictor, data: Dataset) -> str:
    """The command that trains it for this split."""
    from predictor.registry import ADAPTED

    kind = saved.card["predictor"]
    command = "python -m predictor.train " + (
        "--from PREDICTOR_FOLDER" if kind == ADAPTED else f"--predictor {kind}"
    )
    command += "".join(f" --also {other}" for other in saved.plans if other != data.meta["study"])
    return f"{command}{'' if saved.name == kind else f' --name {saved.name}'} --seed {data.seed}"


def _interval_of(saved: SavedPredictor, study: str) -> IntervalOf:
    return lambda latency, _: saved.interval(latency, study=study)


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
    from predictor.registry import BASELINES, make_predictor

    if arguments.repeats == 0:
        return []
    own = {one.name: one.predictor for one in saved}
    names = dict.fromkeys([saved[0].name, *BASELINES])
    predictors = {n: own[n] if n in own else make_predictor(n, seed=data.seed) for n in names}
    with cli.progress(cli.console(arguments)) as bar:
        sizes = len(curve_sizes(len(data.train)))
        total = len(predictors) * ((sizes - 1) * arguments.repeats + 1)
        task = bar.add_task("learning curve", total=total, note="")
        return learning_curve(
            data, predictors, repeats=arguments.repeats, seed=data.seed, advance=lambda: bar.advance(task)
        )


def _unlike(saved: SavedPredictor) -> dict[str, float | None] | None:
    """Ends around 1 for a network of no study, from kernels held out; None where none were."""
    import numpy as np

    from predictor.conformal import finite

    if not any(saved.card["unlike_residuals"].values()):
        return None
    low, high = saved.interval(np.array([1.0]))
    return {"low": finite(float(low[0])), "high": finite(float(high[0]))}


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
    with replacing(path) as (partial,):
        table.to_csv(partial, index=False)


def _verdict(judgements: Sequence[Judgement]) -> str:
    """Which baselines the first predictor beats, in one line."""
    from predictor.bootstrap import LEVEL

    best = judgements[0]
    beaten = [other for other in best.against if best.beats(other)]
    not_beaten = [other for other in best.against if other not in beaten]
    parts = [f"better than {', '.join(beaten)} in mean error and tau"] if beaten else []
    if not_beaten:
        parts.append(f"not surely better in both than {', '.join(not_beaten)}")
    return f"{best.name}: {'; '.join(parts)} ({LEVEL:.0%} bootstrap interval)" if parts else ""


if __name__ == "__main__":
    sys.exit(main())
