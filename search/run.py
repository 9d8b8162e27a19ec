"""`python -m search.run`: searches a space, builds the finalists and measures them."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet import cli
from supernet.study import Study

if TYPE_CHECKING:
    from rich.console import Console

    from predictor.saved import SavedPredictor
    from profiling.plan import Plan
    from search.finalists import Built, Material, Measured
    from search.problem import Candidate, Problem
    from search.quality import Quality

# 1: first.
# 2: the interval of a finalist's predicted latency.
SCHEMA_VERSION = 2
# Evaluations of a stand-in cost nothing, so a search may take many.
STAND_IN_EVALUATIONS = 20_000
SYNTHETIC_CALIBRATION_SAMPLES = 16


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(
        "search.run", "Search a study's space for fast INT8 sub-networks, and measure the finalists."
    )
    parser.add_argument(
        "--predictor", default="xgb", metavar="NAME", help="a trained predictor of the study (default: xgb)"
    )
    parser.add_argument("--evaluations", type=int, metavar="N", help="real accuracy evaluations")
    parser.add_argument("--finalists", type=int, metavar="N", help="how many to build and measure")
    return cli.run(search, parser.parse_args(argv))


def search(arguments: argparse.Namespace) -> dict[str, Any]:
    """Writes front.csv, search.json, report.html and the finalists' files; returns search.json's value."""
    import numpy as np

    from predictor.saved import load
    from predictor.train import predictor_folder
    from profiling.lock import measuring
    from profiling.machine import read_machine, read_target, throughput_target
    from search.card import write_card
    from search.finalists import build, measure
    from search.nsga2 import search_nsga2
    from search.problem import Problem
    from search.report import write_front, write_page
    from supernet.checkpoint import write_json
    from supernet.errors import OvnasError
    from supernet.training import accuracy

    start = time.monotonic()
    study = Study.load(arguments.study)
    for name in ("evaluations", "finalists"):
        if getattr(arguments, name) is not None and getattr(arguments, name) < 1:
            raise OvnasError(f"--{name} must be >= 1, but got {getattr(arguments, name)}")
    out = cli.console(arguments)
    with measuring():
        pass  # another one's measurement is noticed now, not after the search
    folder: Path = arguments.runs_dir / study.name / "search"
    predictor = load(predictor_folder(study, arguments.runs_dir, arguments.predictor))
    machine, target = read_machine(), read_target(study.target)
    predictor.require(machine, target)
    material, quality = _material(study, arguments.runs_dir, predictor, target, folder)
    budget = arguments.evaluations or (
        study.search.evaluations if quality.is_accuracy else STAND_IN_EVALUATIONS
    )
    rng = np.random.default_rng(arguments.seed)
    with cli.progress(out) as bar:
        task = bar.add_task("searching", total=budget, note="")
        problem = Problem(
            predictor.plan_of(study.name).space,
            quality,
            predictor.compiled(study.name),
            budget,
            lambda n: bar.update(task, completed=n) if n % 10 == 0 or n == budget else None,
        )
        search_nsga2(problem, rng)
    front = problem.front()
    pretrained = None
    if material.splits is not None:
        pretrained = accuracy(material.pretrained, material.splits.validation)
    chosen = _choose(problem, study, quality, pretrained, arguments.finalists or study.search.finalists)
    with measuring(), cli.progress(out) as bar:
        task = bar.add_task("building finalists", total=len(chosen) + 1, note="")
        networks = []
        partial = folder / "finalists.partial"  # an earlier search's files stay until this one is done
        shutil.rmtree(partial, ignore_errors=True)
        for i, candidate in enumerate([None, *chosen]):
            place = partial / ("baseline" if candidate is None else f"{i:02d}")
            networks.append(build(material, candidate, place, target))
            bar.update(task, advance=1)
        base, measured = measure(networks[0], networks[1:], target, rng, bar)
    home = folder / "finalists"
    value = {
        "schema_version": SCHEMA_VERSION,
        "study": study.name,
        "machine": machine,
        "target": target,
        "quality": quality.name,
        "predictor": arguments.predictor,
        "seed": arguments.seed,
        "max_accuracy_drop": study.search.max_accuracy_drop / 100,
        "throughput_target": throughput_target(target),
        "baseline": _baseline(networks[0], base, predictor.plan_of(study.name), home),
        "finalists": [
            _finalist(built, one, quality, ends, home)
            for built, one, ends in zip(
                networks[1:], measured, _intervals(predictor, study, chosen), strict=True
            )
        ],
        "machine_speed": predictor.card["anchor_us"][study.name] / base.latency_us,
        "evaluations": {
            "latency_predicted": problem.n_predicted,
            "accuracy_measured": len(problem.candidates) if quality.is_accuracy else 0,
        },
        "seconds": round(time.monotonic() - start, 1),
    }
    for built, one in zip(networks, [value["baseline"], *value["finalists"]], strict=True):
        card = {**one, "onnx_checked_by": built.exported.onnx_checked_by}
        write_card(card, value, built.exported.files["ir"].parent)
    shutil.rmtree(home, ignore_errors=True)
    partial.rename(home)
    write_front(front, quality.is_accuracy, folder / "front.csv")
    write_json(value, folder / "search.json")
    candidates = list(problem.candidates.values())
    write_page(value, candidates, front, chosen, folder / "report.html")
    _print(value, out, folder)
    return value


def _material(
    study: Study, runs_dir: Path, predictor: SavedPredictor, target: dict[str, Any], folder: Path
) -> tuple[Material, Quality]:
    import torch

    from search.finalists import Material
    from search.quality import Macs, ValidationAccuracy
    from supernet.checkpoint import example_input, load_supernet, make_model, make_network
    from supernet.data import load_splits, take
    from supernet.errors import OvnasError
    from supernet.train import BATCHNORM_SAMPLES

    example = example_input(study, batch=target["batch"])
    if study.data.name == "none":
        network = make_network(study)
        generator = torch.Generator().manual_seed(0)
        n = SYNTHETIC_CALIBRATION_SAMPLES * target["batch"]
        noise = torch.randn(n, *study.model.input_shape, generator=generator)
        material = Material(network, make_model(study), None, None, noise, example)
        quality: Quality = Macs(network.space)
    else:
        supernet = runs_dir / study.name / "supernet"
        network, pretrained = load_supernet(study, supernet)
        splits = load_splits(study)
        samples = take(splits.train, BATCHNORM_SAMPLES)
        calibration = take(splits.train, study.search.calibration_samples)
        material = Material(network, pretrained, splits, samples, calibration, example)
        quality = ValidationAccuracy(
            network, splits, samples, supernet / "supernet.safetensors", folder / "evaluations.sqlite"
        )
    if network.space != predictor.plan_of(study.name).space:
        raise OvnasError("the predictor was trained for another space; collect and train again")
    return material, quality


def _choose(
    problem: Problem, study: Study, quality: Quality, pretrained: float | None, n: int
) -> list[Candidate]:
    """Finalists that keep, on validation data, to the study's drop below the pre-trained model."""
    from search.selection import pick_finalists
    from supernet.errors import OvnasError

    front = problem.front()
    if pretrained is None:
        return pick_finalists(front, n, min_quality=-float("inf"))
    least = pretrained - study.search.max_accuracy_drop / 100
    chosen = pick_finalists(front, n, min_quality=least)
    if not chosen:
        best = max(front, key=lambda c: c.quality)
        raise OvnasError(
            f"no architecture within {study.search.max_accuracy_drop:g} points of the pre-trained model's "
            f"{pretrained:.2%} among {len(problem.candidates)}; the nearest has {best.quality:.2%} at "
            f"{best.latency_us / 1e3:.3f} ms"
        )
    return chosen


def _intervals(predictor: SavedPredictor, study: Study, chosen: list[Candidate]) -> list[list[float | None]]:
    """Both ends around each predicted latency, in microseconds; None where there is no finite one."""
    import numpy as np

    from predictor.conformal import finite

    low, high = predictor.interval(np.array([c.latency_us for c in chosen]), study=study.name)
    return [[finite(float(a)), finite(float(b))] for a, b in zip(low, high, strict=True)]


def _files(built: Built, home: Path) -> dict[str, str]:
    """Where the files of a network lie once they have been moved to `home`."""
    return {kind: str(home / path.parent.name / path.name) for kind, path in built.exported.files.items()}


def _baseline(built: Built, measured: Measured, plan: Plan, home: Path) -> dict[str, Any]:
    return {
        "top1_fp32": built.top1_fp32,
        "top1_int8": built.top1_int8,
        "latency_us": measured.latency_us,
        "throughput_sps": measured.throughput_sps,
        "macs": plan.space.macs(built.architecture),
        "int8_layers": [built.n_int8_layers, built.n_layers],
        "files": _files(built, home),
    }


def _finalist(
    built: Built, measured: Measured, quality: Quality, interval_us: list[float | None], home: Path
) -> dict[str, Any]:
    candidate = built.candidate
    assert candidate is not None
    return {
        "architecture": str(built.architecture),
        "macs": candidate.macs,
        "predicted": {
            "latency_us": candidate.latency_us,
            "interval_us": interval_us,
            "top1": candidate.quality if quality.is_accuracy else None,
        },
        "measured": {
            "latency_us": measured.latency_us,
            "throughput_sps": measured.throughput_sps,
            "speedup": measured.speedup,
            "top1_fp32": built.top1_fp32,
            "top1_int8": built.top1_int8,
        },
        "int8_layers": [built.n_int8_layers, built.n_layers],
        "files": _files(built, home),
    }


def _print(value: dict[str, Any], out: Console, folder: Path) -> None:
    from search.table import print_summary

    print_summary(value, out)
    out.print(f"report: {folder / 'report.html'}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
