"""Finalists' measurements go back: into the profiling database, and from there into the predictor."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet.study import Study

if TYPE_CHECKING:
    import numpy as np

    from profiling.preparation import Bench
    from supernet.architecture import Architecture

__all__ = ["can_retrain", "is_tuned", "retrain", "store_finalists"]


def store_finalists(
    study: Study,
    runs_dir: Path,
    architectures: Sequence[Architecture],
    rng: np.random.Generator,
    make_bench: Callable[[], tuple[Bench, dict[str, Any]]],
) -> int:
    """Measures those that are not in the study's database yet by profiling's own protocol (sliced graphs,
    kernels and rounds) and adds them as "finalist"; returns how many. 0 where nothing was collected here.

    The caller holds the measuring lock. Raises OvnasError where it was collected under other conditions.
    """
    from profiling.block import even_blocks, is_disturbed, measure_block
    from profiling.collect import store_path
    from profiling.store import Store

    path = store_path(study, runs_dir)
    if not path.is_file():
        return 0
    with Store.open(path) as store:
        known = set(store.architectures())
    fresh = [a for a in dict.fromkeys(architectures) if a not in known]
    if not fresh:
        return 0
    bench, meta = make_bench()
    with Store.create_or_open(path, meta) as store:
        for block in even_blocks(fresh, bench.room()):
            found = {one.architecture: one for one in measure_block(bench, block, rng)}
            again = [a for a, one in found.items() if is_disturbed(one.rounds)]
            if again:
                found |= {one.architecture: one for one in measure_block(bench, again, rng)}
            for one in found.values():
                store.add(one.architecture, one.rounds, one.kernels, one.prepare_s, "finalist")
    return len(fresh)


def can_retrain(study: Study, runs_dir: Path, name: str) -> bool:
    """Whether a predictor is of this study alone and saved under its kind's name, so that it is clear how."""
    from predictor.registry import ADAPTED, PREDICTORS
    from predictor.saved import load
    from predictor.train import predictor_folder

    saved = load(predictor_folder(study, runs_dir, name))
    return name in PREDICTORS and name != ADAPTED and list(saved.plans) == [study.name]


def is_tuned(study: Study, runs_dir: Path, name: str) -> bool:
    """Whether a predictor's parameters were chosen by cross-validation."""
    from predictor.saved import load
    from predictor.train import predictor_folder

    return "tuning" in load(predictor_folder(study, runs_dir, name)).card


def retrain(
    study: Study,
    arguments: argparse.Namespace,
    name: str,
    number: int,
    before: str | None,
    finalists: Sequence[Architecture],
) -> str:
    """The predictor for round `number`, trained as `name` is on all that the database holds now, under a name
    of its own: the search begins with the same one when it is repeated. A tuned one keeps its parameters.
    Returns that name.

    One that an earlier start has trained at this point is taken again: after the same predictor (`before`:
    the hash of its data) and the same `finalists`.
    """
    from predictor import train
    from predictor.saved import load
    from supernet.whole_files import read_json, write_json

    saved = load(train.predictor_folder(study, arguments.runs_dir, name))
    own = f"{name}-round-{number}"
    folder = train.predictor_folder(study, arguments.runs_dir, own)
    notes = arguments.runs_dir / study.name / "search" / f"round-{number}.json"
    made_from = {"after": before, "seed": saved.card["seed"], "finalists": [str(a) for a in finalists]}
    if folder.is_dir() and read_json(notes) == made_from | {"data_hash": _data_hash(folder)}:
        return own
    train.train(
        argparse.Namespace(
            study=arguments.study,
            runs_dir=arguments.runs_dir,
            seed=saved.card["seed"],
            json=arguments.json,
            predictor=name,
            also=[],
            name=own,
            tune=False,
            tuning=saved.card.get("tuning"),
            base=None,
            measurements=None,
        )
    )
    write_json(made_from | {"data_hash": _data_hash(folder)}, notes)
    return own


def _data_hash(folder: Path) -> str | None:
    """What a saved predictor learned from; None if it cannot be read, as one of an earlier version."""
    from predictor.saved import load
    from supernet.errors import OvnasError

    try:
        return str(load(folder).card["data_hash"])
    except OvnasError:
        return None
