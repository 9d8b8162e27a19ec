"""How many real evaluations a search needs:

    python benchmarks/search_efficiency.py --study digits --runs-dir runs

on a study that is trained and has a predictor. Each algorithm searches the study's space with three seeds;
the best known front is that of everything that any of them has evaluated, and a longer search besides.
The fronts are judged again on the validation images that no search has judged on, where `[search]
evaluation_samples` leaves some: what is the best of many by some images is so partly by luck. Then a part of
the space that is small enough to be evaluated whole, and how long a million architectures take to be scored.

Accuracies are kept in the study's search/evaluations.sqlite, so a benchmark that was stopped goes on where it
was, and one after a search pays for what is new. About 1,500 evaluations in all: with `[search]
evaluation_samples` of a study they judge on a part of the validation split.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from results_file import trained_by, write_result
from torch.utils.data import Subset

from predictor.compiled import CompiledPredictor
from predictor.saved import load
from predictor.train import predictor_folder
from profiling.machine import read_machine, read_target
from profiling.plan import Plan
from search.algorithms.base import extremes
from search.algorithms.exhaustive import enumerate_codes
from search.algorithms.registry import make_algorithm
from search.domination import Reference, nondominated
from search.material import Material, load_material
from search.predicted import score
from search.problem import Problem
from search.quality import Quality, ValidationAccuracy
from search.sizes import Sizes
from search.surrogate import ACCURACY, Encoding, Surrogate, fit_surrogate
from supernet.errors import OvnasError
from supernet.space import Space
from supernet.spread import evenly_spread
from supernet.study import Study

ALGORITHMS = ("guided", "nsga2", "random")
# LINAS reaches this share of the best known hypervolume after 155 evaluations on its space.
SHARE = 0.925
# Of the true front's, where a space is evaluated whole.
TRUE_SHARE = 0.99
MILLION = 1_000_000


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", default="digits")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--predictor", default="xgb")
    parser.add_argument("--evaluations", type=int, default=100, help="of each search (default 100)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--reference", type=int, default=400, help="evaluations of the longer search (default 400)"
    )
    parser.add_argument("--enumerable", type=int, default=256, help="size of the part evaluated whole")
    arguments = parser.parse_args()
    try:
        value = efficiency(arguments)
    except OvnasError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    options = ("predictor", "evaluations", "seeds", "reference", "enumerable")
    command = ["python benchmarks/search_efficiency.py --study", value["study"]]
    command += [f"--{option} {getattr(arguments, option)}" for option in options]
    write_result(f"search_efficiency-{value['study']}", {"command": " ".join(command), **value})
    return 0


def efficiency(arguments: argparse.Namespace) -> dict[str, Any]:
    """All three parts."""
    study = Study.load(arguments.study)
    saved = load(predictor_folder(study, arguments.runs_dir, arguments.predictor))
    target = read_target(study.target)
    saved.require(read_machine(), target)
    cache = arguments.runs_dir / study.name / "search" / "evaluations.sqlite"
    material, quality = load_material(study, arguments.runs_dir, target, cache)
    plan = saved.plan_of(study.name)
    sizes = Sizes.of_network(material.network)

    def problem_of(space: Space, budget: int, judge: Quality = quality) -> Problem:
        latency = CompiledPredictor(Plan(space, plan.kernels), saved.predictor, saved.conditions)
        own = sizes if space == plan.space else None
        return Problem(space, judge, latency, budget, sizes=own)

    runs: dict[str, list[Problem]] = {}
    for name in ALGORITHMS:
        for seed in range(arguments.seeds):
            problem, seconds = _searched(problem_of(plan.space, arguments.evaluations), name, seed)
            runs.setdefault(name, []).append(problem)
            print(f"{name}, seed {seed}: {problem.n_evaluated} evaluations in {seconds:.1f} s", flush=True)
    longer, seconds = _searched(problem_of(plan.space, arguments.reference), "guided", arguments.seeds)
    print(f"guided, longer: {longer.n_evaluated} evaluations in {seconds:.1f} s", flush=True)
    everyone = [longer, *(problem for own in runs.values() for problem in own)]
    reference = everyone[0].reference()
    best = reference.hypervolume(np.concatenate([_feasible(problem) for problem in everyone]))
    unseen = unseen_accuracy(material, study.search.evaluation_samples, cache)
    part = thinned(plan.space, arguments.enumerable)
    value = {
        "study": study.name,
        **trained_by(study),
        "target": target,
        "predictor": arguments.predictor,
        "log10_size": plan.space.log10_size,
        "evaluations": arguments.evaluations,
        "reference_point": reference.to_json(everyone[0].objectives),
        "standard_error": quality.standard_error(quality.of(plan.space.largest)),
        "ends": [quality.of(plan.space.smallest), quality.of(plan.space.largest)],
        "reference_evaluations": longer.n_evaluated,
        "best_known_hypervolume": best,
        "share": SHARE,
        "algorithms": {name: [_judged(p, reference, best, SHARE) for p in own] for name, own in runs.items()},
        "judged_again": None if unseen is None else judged_again(problem_of, runs, everyone, unseen),
        "enumerated": enumerated(problem_of, part, arguments.seeds),
        "scoring": scoring(runs["guided"][0]),
    }
    _print(value)
    return value


def _searched(problem: Problem, name: str, seed: int) -> tuple[Problem, float]:
    start = time.monotonic()
    make_algorithm(name).search(problem, np.random.default_rng(seed))
    return problem, time.monotonic() - start


def _feasible(problem: Problem) -> Any:
    points, excess = problem.evaluated()
    return points[excess == 0]


def _judged(problem: Problem, reference: Reference, best: float, wanted: float) -> dict[str, Any]:
    """A search's curve, as shares of the hypervolume `best`, and the evaluations that give `wanted` of it."""
    points = _feasible(problem)
    shares = []
    for n in range(1, len(points) + 1):
        seen = points[:n]
        shares.append(reference.hypervolume(seen[nondominated(seen)]) / best)
    enough = [n for n, share in enumerate(shares, start=1) if share >= wanted]
    return {
        "evaluations": len(shares),
        "share": shares[-1],
        "evaluations_to_share": enough[0] if enough else None,
        "curve": [round(share, 5) for share in shares],
    }


def unseen_accuracy(material: Material, n: int, cache: Path) -> ValidationAccuracy | None:
    """Accuracy on the validation images that are none of the `n` which searches judge on, if any are left."""
    splits, reestimator = material.splits, material.reestimator
    if splits is None or reestimator is None or material.supernet is None:
        return None
    total = len(splits.validation)  # type: ignore[arg-type]
    seen = set(evenly_spread(total, n if n > 0 else total))
    left = [i for i in range(total) if i not in seen]
    if not left:
        return None
    others = dataclasses.replace(splits, validation=Subset(splits.validation, left))
    return ValidationAccuracy(reestimator, others, material.supernet / "supernet.safetensors", cache)


def judged_again(
    problem_of: Any, runs: dict[str, list[Problem]], everyone: list[Problem], unseen: ValidationAccuracy
) -> dict[str, Any]:
    """The hypervolume of each front on images that no search has seen, as a share of that of all of them."""
    space = everyone[0].space

    def volume(problems: list[Problem]) -> float:
        fronts = space.encode_all(c.architecture for problem in problems for c in problem.front())
        again = problem_of(space, 2 + len(fronts), unseen)
        again.evaluate(extremes(space))
        again.evaluate(fronts)
        return float(again.hypervolume())

    best = volume(everyone)
    return {
        "images": unseen.n_images,
        "algorithms": {name: [volume([problem]) / best for problem in own] for name, own in runs.items()},
    }


def thinned(space: Space, most: int) -> Space:
    """The space with its slots cut to their first and last choice, and then one after another to the last
    one alone, until it holds no more than `most` architectures. Its members are members of the space."""
    slots = [
        dataclasses.replace(slot, choices=tuple(dict.fromkeys((slot.choices[0], slot.choices[-1]))))
        for slot in space.slots
    ]
    # Fixed in turn over all slots, so that the first, in the large layers, are not all that is left.
    for i in sorted(range(len(slots)), key=lambda i: (slots[i].kind == "depth", i % 3, -i)):
        if 10 ** dataclasses.replace(space, slots=tuple(slots)).log10_size <= most * 1.0001:
            break
        slots[i] = dataclasses.replace(slots[i], choices=slots[i].choices[-1:])
    return dataclasses.replace(space, slots=tuple(slots))


def enumerated(problem_of: Any, space: Space, seeds: int) -> dict[str, Any]:
    """Guided against the truth: the share of the true front's hypervolume that up to two thirds of the space
    give, and how many evaluations give TRUE_SHARE of it.

    Nothing can foresee the part of an accuracy that is the judging images' chance, and a front evaluated
    whole has picked the luckiest; so the spread of what the accuracy model leaves unexplained stands beside.
    """
    codes = enumerate_codes(space)
    whole = problem_of(space, len(codes))
    make_algorithm("exhaustive").search(whole, np.random.default_rng(0))
    reference, truth = whole.reference(), whole.hypervolume()
    found = []
    for seed in range(seeds):
        problem, _ = _searched(problem_of(space, max(20, 2 * len(codes) // 3)), "guided", seed)
        found.append(_judged(problem, reference, truth, TRUE_SHARE))
    return {
        "architectures": len(codes),
        "front": len(whole.front()),
        "unexplained": learned(whole).loo_error,
        "share": TRUE_SHARE,
        "guided": found,
    }


def learned(problem: Problem) -> Surrogate:
    """The accuracy model of all that was evaluated; its `loo_error` is the mean error of leaving one out."""
    candidates = list(problem.candidates.values())
    codes = problem.space.encode_all(c.architecture for c in candidates)
    values = np.array([c.quality for c in candidates])
    return fit_surrogate(Encoding(problem.space, problem.sizes), codes, values, ACCURACY)


def scoring(problem: Problem) -> dict[str, Any]:
    """Seconds that accuracy and latency of a million architectures take by prediction."""
    model = learned(problem)
    many = problem.space.sample_codes(MILLION, np.random.default_rng(0))
    start = time.perf_counter()
    score(problem, many, lambda c: {"accuracy": model.predict(c)})
    return {"architectures": MILLION, "seconds": round(time.perf_counter() - start, 2)}


def _print(value: dict[str, Any]) -> None:
    for name, runs in value["algorithms"].items():
        for seed, one in enumerate(runs):
            needed = one["evaluations_to_share"] or "not reached"
            reached = f"{one['share']:.2%} after {one['evaluations']}"
            print(f"{name:8} seed {seed}: {reached}; {SHARE:.1%} at {needed}")
    if again := value["judged_again"]:
        for name, shares in again["algorithms"].items():
            text = ", ".join(f"{share:.1%}" for share in shares)
            print(f"{name:8} judged on {again['images']} images that no search has seen: {text}")
    whole = value["enumerated"]
    smallest, largest = value["ends"]
    if largest - smallest <= 2 * whole["unexplained"]:
        print(
            "note: the accuracies of the smallest and the largest network differ by less than twice the "
            "accuracy model's mean error: shares of hypervolume are mostly chance"
        )
    for seed, one in enumerate(whole["guided"]):
        needed = one["evaluations_to_share"] or "not reached"
        print(
            f"of {whole['architectures']} architectures evaluated whole, guided seed {seed}: "
            f"{one['share']:.2%} after {one['evaluations']}; {TRUE_SHARE:.0%} at {needed}"
        )
    print(f"{value['scoring']['architectures']:,} architectures scored in {value['scoring']['seconds']} s")


if __name__ == "__main__":
    sys.exit(main())
