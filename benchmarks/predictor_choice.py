"""What a good latency predictor is worth:

    python benchmarks/predictor_choice.py --study digits --runs-dir runs

on a study that is trained and has both predictors. Searches by each, with the same seeds and evaluations;
the fronts are measured in interleaved rounds, as profiling does, and for each accuracy the networks that the
two fronts of a seed would choose are compared. A predictor decides twice: which networks are worth an
evaluation, and which of them are fast. Accuracies are kept in the study's search/evaluations.sqlite.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_file import trained_by, write_result

from predictor.bootstrap import expanded, resamples
from predictor.saved import load
from predictor.train import predictor_folder
from profiling.beginning import set_up
from profiling.block import even_blocks, time_block
from profiling.budget import BLOCK
from profiling.load import level_of
from profiling.lock import measuring
from profiling.machine import read_machine, read_target
from profiling.timing import ratio
from search.algorithms.registry import make_algorithm
from search.latency import Predicted
from search.material import load_material
from search.problem import Candidate, Problem
from search.selection import pick_finalists
from search.sizes import Sizes
from supernet import cli
from supernet.architecture import Architecture
from supernet.errors import OvnasError
from supernet.study import Study


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", default="digits")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--predictors", nargs=2, default=("xgb", "macs"), metavar="NAME")
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--networks", type=int, default=40, help="of each front, at most")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds must be >= 2: the interval is over them")
    try:
        value = choice(arguments)
    except OvnasError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    one, other = arguments.predictors
    for row in value["decisions"]:
        found = ", ".join(f"{name} {row[name]:.4f}" for name in (one, other))
        print(f"seed {row['seed']} at {row['quality']:.4f}: {found} of the baseline's latency")
    low, high = value["gain_interval"]
    told = "faster" if low > 1 else "slower" if high < 1 else "no difference beyond the noise"
    print(
        f"chosen through {one} in place of {other}, at the same accuracy: {value['gain']:.3f}x the speed "
        f"({low:.3f} to {high:.3f}): {told}"
    )
    write_result(f"predictor_choice-{value['study']}", value)
    return 0


def choice(arguments: argparse.Namespace) -> dict[str, Any]:
    """Searches, measures and compares; "gain" is the geometric mean over all decisions."""
    study = Study.load(arguments.study)
    target = read_target(study.target)
    cache = arguments.runs_dir / study.name / "search" / "evaluations.sqlite"
    material, quality = load_material(study, arguments.runs_dir, target, cache)
    sizes = Sizes.of_network(material.network)
    problems: list[dict[str, Problem]] = [{} for _ in range(arguments.seeds)]
    for name in arguments.predictors:
        saved = load(predictor_folder(study, arguments.runs_dir, name))
        saved.require(read_machine(), target)
        for seed, own in enumerate(problems):
            latency = Predicted(saved, study.name)
            own[name] = Problem(material.network.space, quality, latency, arguments.evaluations, sizes=sizes)
            make_algorithm("guided").search(own[name], np.random.default_rng(seed))
            print(f"{name}, seed {seed}: {own[name].n_evaluated} evaluations", flush=True)
    fronts = [
        {name: pick_finalists(problem.front(), arguments.networks) for name, problem in own.items()}
        for own in problems
    ]
    measured = _measure(
        study, [c.architecture for own in fronts for front in own.values() for c in front], arguments
    )
    decisions = [{"seed": seed, **row} for seed, own in enumerate(fronts) for row in decide(own, measured)]
    one, other = arguments.predictors
    gains = [
        np.log([row[other] / row[one] for row in decisions if row["seed"] == seed])
        for seed in range(len(fronts))
    ]
    return {
        "study": study.name,
        **trained_by(study),
        "target": target,
        "evaluations": arguments.evaluations,
        "predictors": list(arguments.predictors),
        "networks": len(measured),
        "decisions": decisions,
        "same_choices": sum(row["is_same"] for row in decisions),
        "gain": float(np.exp(np.concatenate(gains).mean())),
        "gain_by_seed": [float(np.exp(own.mean())) for own in gains],
        "gain_interval": [float(np.exp(end)) for end in expanded(drawn_means(gains), len(gains)).to_json()],
    }


def drawn_means(gains: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Bootstrap in two stages: seeds are drawn, then the decisions of each, for those of one seed share
    networks. Means, shape (n_resamples,)."""
    rng = np.random.default_rng(0)
    return np.array(
        [
            np.concatenate([rng.choice(gains[seed], len(gains[seed])) for seed in seeds]).mean()
            for seeds in resamples(len(gains))
        ]
    )


def _measure(
    study: Study, architectures: list[Architecture], arguments: argparse.Namespace
) -> dict[Architecture, float]:
    """Latencies over the maximal network's."""
    rng = np.random.default_rng(17)
    distinct = list(dict.fromkeys(architectures))
    rng.shuffle(distinct)  # type: ignore[arg-type]
    with measuring():
        bench, _ = set_up(study, cli.console(arguments), is_new=False)
        found: dict[Architecture, float] = {}
        for block in even_blocks(distinct, BLOCK):
            for architecture, rounds in zip(block, time_block(bench, block, rng), strict=True):
                found[architecture] = ratio(rounds, level_of(bench.target))
    return found


def decide(fronts: dict[str, list[Candidate]], measured: dict[Architecture, float]) -> list[dict[str, float]]:
    """For each accuracy that every front can offer, the measured latency of what each would choose: its own
    fastest, as it predicts, of at least that accuracy; "is_same" where all choose one network."""
    least = min(max(c.quality for c in front) for front in fronts.values())
    rows = []
    for quality in sorted({c.quality for front in fronts.values() for c in front if c.quality <= least}):
        chosen = {
            name: min((c for c in front if c.quality >= quality), key=lambda c: c.latency_us).architecture
            for name, front in fronts.items()
        }
        is_same = len(set(chosen.values())) == 1
        rows.append(
            {"quality": quality, "is_same": is_same, **{name: measured[a] for name, a in chosen.items()}}
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
