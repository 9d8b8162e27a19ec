"""search.json, and the files beside it."""

from __future__ import annotations

import argparse
import os
import shutil
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.card import write_card
from search.comparison import COPIES, ROUNDS
from search.csv_files import write_candidates
from search.history import history_of
from search.result import SCHEMA_VERSION, Finalist, baseline_value, finalist_value

if TYPE_CHECKING:
    from search.latency import LatencySource
    from search.problem import Problem
    from search.rounds import Workshop
    from supernet.study import Study

__all__ = ["search_value", "write_search"]

# On which the figures depend, beside OpenVINO, which is among the machine's facts.
VERSIONS = ("ovnas", "nncf", "torch")


def search_value(
    study: Study,
    arguments: argparse.Namespace,
    workshop: Workshop,
    source: LatencySource,
    problem: Problem,
    finalists: list[Finalist],
    n_predicted: int,
    folder: Path,
    machine: dict[str, Any],
) -> dict[str, Any]:
    """search.json's value, but for its seconds; `n_predicted` latencies, in all rounds."""
    from profiling.machine import has_vnni, throughput_target
    from supernet.checkpoint import origin_of
    from supernet.data import PREPROCESSING

    settings, material, target = workshop.settings, workshop.material, workshop.target
    splits = material.splits
    n_test = None if splits is None else len(splits.test)  # type: ignore[arg-type]
    is_accuracy, home = workshop.quality.is_accuracy, folder / "finalists"
    reference = problem.reference()
    beside = finalists[-1].beside
    return {
        "schema_version": SCHEMA_VERSION,
        "study": study.name,
        "machine": machine,
        "target": target,
        "throughput_target": throughput_target(target),
        "seed": settings.seed,
        "command": getattr(arguments, "command", "python -m search.run"),
        "algorithm": settings.algorithm,
        "predictor": settings.predictor,
        "quality": workshop.quality.name,
        "is_accuracy": is_accuracy,
        "objectives": [objective.name for objective in settings.objectives],
        "constraints": settings.constraints.to_json(),
        "evaluations": {
            "accuracy_measured": problem.n_evaluated_in_all if is_accuracy else 0,
            "latency_predicted": n_predicted,
            "latency_measured": 0 if source.is_known else problem.n_evaluated_in_all,
        },
        "history": history_of(problem, reference),
        "reference_point": reference.to_json(settings.objectives),
        "baseline_quality": workshop.baseline_quality,
        "machine_speed": beside.machine_speed(source.baseline_us),
        "anchor_speed": source.baseline_us / beside.anchor_us,
        "drift": beside.drift(source.baseline_us),
        "witnesses": [
            {"architecture": str(w.architecture), "latency_then_us": w.then_us, "latency_us": w.now_us}
            for w in beside.witnesses
        ],
        "half_range_weights": not has_vnni(machine),
        "versions": {name: metadata.version(name) for name in VERSIONS},
        "supernet": None if material.supernet is None else origin_of(material.supernet)["supernet"],
        "predictor_data": source.data_hash,
        "preprocessing": PREPROCESSING.get(study.data.name),
        "seconds_of": {name: round(seconds, 1) for name, seconds in workshop.seconds.items()},
        "copies": COPIES,
        "rounds_a_copy": ROUNDS,
        "calibration_samples": len(material.calibration),
        "batchnorm_samples": material.n_batchnorm_samples,
        "n_test": n_test,
        "baseline": baseline_value(workshop.baseline, beside, n_test, home),
        "finalists": [
            finalist_value(
                finalist, workshop.baseline, settings.constraints,
                is_accuracy=is_accuracy, n_test=n_test, home=home,
            )
            for finalist in finalists
        ],
        "layers": source.layers([f.built.architecture for f in finalists]),
        "mlperf": None,
    }  # fmt: skip


def write_search(
    value: dict[str, Any], workshop: Workshop, problem: Problem, finalists: list[Finalist], folder: Path
) -> None:
    """All files; an earlier search's stay until these are complete, and are then replaced together. May be
    called again with a value that holds more."""
    from search.report import write_page
    from supernet.whole_files import write_json

    home = folder / "finalists"
    place = workshop.folder if workshop.folder.exists() else home
    built = {"baseline": workshop.baseline} | {f"finalist {i}": f.built for i, f in enumerate(finalists, 1)}
    for (name, network), one in zip(built.items(), (value["baseline"], *value["finalists"]), strict=True):
        own = [run for run in value["mlperf"] or () if run["network"] == name]
        card = {**one, "mlperf": own, "onnx_checked_by": network.exported.onnx_checked_by}
        write_card(card, value, place / network.exported.files["ir"].parent.name)
    if place != home:
        kept = {network.exported.files["ir"].parent.name for network in built.values()}
        for folder_of_none in (one for one in place.iterdir() if one.name not in kept):
            shutil.rmtree(folder_of_none)  # of a round that was interrupted
    candidates, front = list(problem.candidates.values()), problem.front()
    chosen = [f.built.candidate for f in finalists if f.built.candidate is not None]
    written = folder / "search.partial"
    shutil.rmtree(written, ignore_errors=True)
    write_candidates(candidates, written / "candidates.csv", is_accuracy=workshop.quality.is_accuracy)
    write_candidates(front, written / "front.csv", is_accuracy=workshop.quality.is_accuracy)
    write_json(value, written / "search.json")
    write_page(value, candidates, front, chosen, written / "report.html")
    if place != home:
        _replace_folder(home, place)
    for path in written.iterdir():
        os.replace(path, folder / path.name)
    written.rmdir()


def _replace_folder(old: Path, new: Path) -> None:
    """Puts `new` where `old` is, which vanishes last."""
    aside = old.with_name(f"{old.name}.earlier")
    shutil.rmtree(aside, ignore_errors=True)
    if old.exists():
        old.rename(aside)
    new.rename(old)
    shutil.rmtree(aside, ignore_errors=True)
