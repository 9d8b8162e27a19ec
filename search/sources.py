"""Makes the source of latencies that a search asks for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.latency import LatencySource, Measured, Predicted
from search.settings import Settings
from supernet.study import Study

if TYPE_CHECKING:
    from rich.console import Console

    from profiling.target import Target

__all__ = ["measured_source", "predicted_source"]


def predicted_source(
    study: Study,
    arguments: argparse.Namespace,
    settings: Settings,
    machine: dict[str, Any],
    target: Target,
) -> LatencySource:
    """The study's trained predictor. Raises OvnasError if there is none, or it is of another machine."""
    from predictor.saved import load
    from predictor.train import predictor_folder

    saved = load(predictor_folder(study, arguments.runs_dir, settings.predictor))
    saved.require(machine, target)
    return Predicted(saved, study.name)


def measured_source(study: Study, settings: Settings, folder: Path, out: Console) -> LatencySource:
    """The benchmark in the loop. The caller holds the measuring lock."""
    from profiling.beginning import set_up
    from search.evaluations import Evaluations

    bench, meta = set_up(study, out, is_new=False)
    conditions = {key: meta[key] for key in ("machine", "properties", "target")}
    return Measured(bench, conditions, Evaluations(folder / "evaluations.sqlite"), settings.seed)
