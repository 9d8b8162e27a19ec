"""`python -m predictor.report`: how true the predictions are, as JSON, CSV and HTML."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet import cli
from supernet.study import Study

if TYPE_CHECKING:
    from predictor.dataset import Dataset
    from predictor.evaluation import Evaluation
    from predictor.saved import SavedPredictor

# 1: first.
SCHEMA_VERSION = 1
BASELINES = ("macs",)


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(
        "predictor.report", "Judge a study's predictor on architectures held out from its training."
    )
    return cli.run(report, parser.parse_args(argv))


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """Writes report.json, report.csv and report.html; returns what report.json holds."""
    import pandas as pd

    from predictor.dataset import load_dataset
    from predictor.evaluation import evaluate
    from predictor.registry import make_predictor
    from profiling.ceiling import ceiling_of
    from profiling.collect import store_path
    from supernet.checkpoint import write_json

    study = Study.load(arguments.study)
    folder: Path = arguments.runs_dir / study.name / "predictor"
    saved = _saved(folder)
    data = load_dataset([store_path(study, arguments.runs_dir)], seed=saved[0].card["seed"])
    evaluations = []
    for one in saved:
        _require_unseen(one, data)
        evaluations.append(evaluate(one.name, one.predictor, data))
    for name in BASELINES:
        if name not in {e.name for e in evaluations}:
            predictor = data.fit(make_predictor(name, seed=arguments.seed), data.train)
            evaluations.append(evaluate(name, predictor, data))
    ceiling = ceiling_of([e.record for e in data.examples])
    value = {
        "schema_version": SCHEMA_VERSION,
        **data.meta,
        "counts": {
            "train_networks": len(data.train),
            "test_networks": len(data.test),
            "kernels": sum(len(e.record.kernels) for e in data.examples),
            "ceiling_networks": ceiling["networks"],
        },
        "ceiling": {"mape": ceiling["mape"], "kendall_tau": ceiling["kendall_tau"]},
        "predictors": {e.name: e.to_json() for e in evaluations},
    }
    write_json(value, folder / "report.json")
    names = [str(e.record.architecture) for e in data.test]
    table = pd.DataFrame({"architecture": names, "measured_us": evaluations[0].measured})
    for evaluation in evaluations:
        table[f"{evaluation.name}_us"] = evaluation.predicted
    partial = folder / "report.csv.partial"
    table.to_csv(partial, index=False)
    partial.replace(folder / "report.csv")
    _page(value, evaluations, names, saved).write(folder / "report.html")
    out = cli.console(arguments)
    title = f"{len(data.test)} unseen networks of {study.name}"
    cli.print_table(out, title, _COLUMNS, _rows(value))
    out.print(f"report: {folder / 'report.html'}", soft_wrap=True)
    return value


def _saved(folder: Path) -> list[SavedPredictor]:
    from predictor.registry import PREDICTORS
    from predictor.saved import CARD, load
    from supernet.errors import OvnasError

    found = [load(folder / name) for name in PREDICTORS if (folder / name / CARD).is_file()]
    if not found:
        raise OvnasError(
            f"there is no trained predictor in {folder}; make one with python -m predictor.train "
            "(same --study and --runs-dir)"
        )
    return found


def _require_unseen(saved: SavedPredictor, data: Dataset) -> None:
    from predictor.saved import data_hash
    from supernet.errors import OvnasError

    if saved.card["data_hash"] != data_hash(data.train):
        raise OvnasError(
            f"predictor {saved.name!r} was trained on other measurements than are here now, or with "
            f"another seed; train it again with python -m predictor.train --predictor {saved.name} --seed "
            f"{data.seed}"
        )


_COLUMNS = ("predictor", "mean error", "bias", "95th pct", "in 1 %", "in 2 %", "in 5 %", "in 10 %", "tau")


def _rows(value: dict[str, Any]) -> list[list[str]]:
    rows = []
    for name, found in value["predictors"].items():
        m = found["network"]
        rows.append(
            [name, f"{m['mape']:.2%}", f"{m['bias']:+.2%}", f"{m['p95_ape']:.2%}"]
            + [f"{m[f'within_{p}']:.0%}" for p in (1, 2, 5, 10)]
            + [f"{m['kendall_tau']:.3f}"]
        )
    ceiling = value["ceiling"]
    if ceiling["mape"] is not None:
        rows.append(["(ceiling)", f"{ceiling['mape']:.2%}", *[""] * 6, f"{ceiling['kendall_tau']:.3f}"])
    return rows


def _page(
    value: dict[str, Any], evaluations: list[Evaluation], names: list[str], saved: list[SavedPredictor]
) -> Any:
    from predictor import pictures
    from profiling.machine import conditions
    from supernet.page import Page

    best = evaluations[0]
    network = value["predictors"][best.name]["network"]
    counts = value["counts"]
    page = Page(f"Latency predictor of {value['study']}", conditions(value["machine"], value["target"]))
    facts = [
        (f"{network['mape']:.2%}", f"mean error of {best.name}"),
        (f"{network['kendall_tau']:.3f}", "Kendall tau"),
        (f"{network['within_5']:.0%}", "within 5 %"),
        (str(counts["train_networks"]), "networks learned from"),
        (str(counts["test_networks"]), "unseen networks judged"),
        (f"{counts['kernels']:,}", "kernels measured"),
    ]
    if value["ceiling"]["mape"] is not None:
        facts.insert(2, (f"{value['ceiling']['mape']:.2%}", "ceiling: two measurements differ by"))
    page.facts(facts)
    page.heading("Networks")
    page.text(
        "Every network here was held out from training. The ceiling is how well the measurement repeats "
        "in another process: no predictor can be better."
    )
    page.table(_COLUMNS, _rows(value))
    page.figures(
        (pictures.predicted_against_measured(evaluations, names), "Hover over a point for its network."),
        (
            pictures.error_distribution(evaluations, value["ceiling"]["mape"]),
            "Higher and further left is better.",
        ),
    )
    page.heading("Kernels")
    rows = [
        [name, *(f"{found['kernel'][key]:.1%}" for key in ("mape", "bias", "within_10")),
         f"{found['kernel']['kendall_tau']:.3f}", f"{found['architectures_per_s'] / 1e6:.1f} million"]
        for name, found in value["predictors"].items()
    ]  # fmt: skip
    page.table(
        ("predictor", "mean error", "bias", "in 10 %", "tau", "architectures a second, compiled"), rows
    )
    figures = [(pictures.kernel_errors(best), f"By kind of kernel, {best.name}; errors weighted by time.")]
    for one in saved:
        if hasattr(one.predictor, "importance"):
            figures.append(
                (pictures.importance_bars(one.predictor.importance()), f"What {one.name} looks at.")
            )
    page.figures(*figures)
    page.text(
        "A kernel's measured time is its counter's share of the clean end-to-end latency, so that kernels "
        "sum to what was measured without counters.",
        quiet=True,
    )
    return page


if __name__ == "__main__":
    sys.exit(main())
