"""How true predictors are on networks that they have not seen, from measurement files:

    python benchmarks/predictor_accuracy.py runs/resnet50/profiling/measurements.sqlite

learns from exactly 150 of the file's networks and judges on all others that were chosen to fill the space.
`--also FILE` learns from as many of a second study, too, and judges on both; `--unseen FILE` judges on a
study that nothing was learned from; `--adapt-from FILE -n 30` adapts a predictor trained on FILE, under other
conditions, with 30 networks, beside one trained on those 30 alone. The interval of the judged predictor is
judged again on other random splits (`--splits`), as the coverage of one is noisy.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from results_file import write_result

from predictor.adapted import AdaptedPredictor
from predictor.base import KernelPredictor, LatencyPredictor
from predictor.conformal import LEVEL, by_study, finite, half_width, out_of_fold
from predictor.dataset import Dataset, Example, load_dataset, require_same
from predictor.evaluation import Evaluation, around, fit_and_evaluate
from predictor.foreign import Executed, KnownKernels, priced
from predictor.judgement import judge
from predictor.registry import ADAPTED, BASELINES, make_predictor
from predictor.roofline import Peak
from predictor.unlike import out_of_place
from profiling.ceiling import ceiling_of
from profiling.machine import describe_difference
from supernet.errors import OvnasError

if TYPE_CHECKING:
    from profiling.target import Target

N_TRAIN = 150
N_ADAPT = 30
FEWEST_JUDGED = 60
N_SPLITS = 5


@dataclasses.dataclass(frozen=True)
class Task:
    """What to learn from and to judge on, with the predictors by name, not yet fitted, the judged one first.
    `origin` says what an adapted one is adapted from: study, target and number of networks."""

    data: Dataset
    predictors: dict[str, LatencyPredictor]
    origin: dict[str, Any] | None


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="a store of profiling.collect")
    parser.add_argument("-n", "--train", type=int, help=f"networks learned from (default {N_TRAIN})")
    parser.add_argument("--row", help="the result's name (default: the studies, mode and threads)")
    parser.add_argument("--also", type=Path, metavar="FILE", help="a second family for the same predictor")
    parser.add_argument("--unseen", type=Path, metavar="FILE", help="a family that is only judged on")
    parser.add_argument("--adapt-from", type=Path, metavar="FILE", help="measurements of other conditions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--splits", type=int, default=N_SPLITS, help="random splits that judge the interval (default: 5)"
    )
    arguments = parser.parse_args(argv)
    try:
        value = accuracy(arguments)
    except OvnasError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    _print(value)
    write_result(f"predictor_accuracy-{arguments.row or _row(value)}", value)
    return 0


def accuracy(arguments: argparse.Namespace) -> dict[str, Any]:
    """The row's value: conditions, counts, and every predictor's judgement."""
    if arguments.adapt_from and (arguments.also or arguments.unseen):
        raise OvnasError("--adapt-from goes with neither --also nor --unseen; run it alone")
    if arguments.splits < 1:
        raise OvnasError(f"--splits must be >= 1, but got {arguments.splits}")
    task = task_of(arguments, arguments.seed)
    data = task.data
    evaluations = [
        fit_and_evaluate(name, data, seed=arguments.seed, predictor=predictor)
        for name, predictor in task.predictors.items()
    ]
    # An adapted predictor is held against the same kind, trained on the same few networks from scratch.
    baselines = (*BASELINES, "xgb") if task.origin else BASELINES
    one_study = len({e.study for e in data.test}) == 1
    quality = np.array([float(e.record.macs) for e in data.test]) if one_study else None
    judgements = judge(evaluations, quality, seed=arguments.seed, baselines=baselines)
    judged = [e.record for e in data.examples if e.study in {t.study for t in data.test}]
    return {
        "studies": list(dict.fromkeys(e.study for e in data.train)),
        "judged_on": list(dict.fromkeys(e.study for e in data.test)),
        "adapted_from": task.origin,
        "target": data.meta["target"],
        "measured_on": data.meta["machine"],
        "seed": arguments.seed,
        "counts": {
            "train_networks": len(data.train),
            "test_networks": len(data.test),
            "kernels": sum(len(e.record.kernels) for e in data.examples),
        },
        "enough_judged": len(data.test) >= FEWEST_JUDGED,
        "level": LEVEL,
        "ceiling": ceiling_of(judged),
        "splits": over_splits(arguments, evaluations[0]),
        "range": range_of(task) if arguments.unseen else None,
        "predictors": {j.name: j.to_json() for j in judgements},
    }


def task_of(arguments: argparse.Namespace, seed: int) -> Task:
    """The files, split with this seed."""
    n_train = arguments.train or (N_ADAPT if arguments.adapt_from else N_TRAIN)
    paths = [arguments.file, *([arguments.also] if arguments.also else [])]
    data = split([load_dataset([path], seed=seed) for path in paths], n_train)
    if arguments.unseen:
        other = load_dataset([arguments.unseen], seed=seed)
        data = joined(data, other, train=(), test=filling(other.examples), keep_test=False)
    predictors: dict[str, LatencyPredictor] = {}
    origin: dict[str, Any] | None = None
    if arguments.adapt_from:
        before = load_dataset([arguments.adapt_from], seed=seed)
        predictors[ADAPTED], learned_from = adapted(data, before, arguments.adapt_from, seed)
        origin = {**{key: before.meta[key] for key in ("study", "target")}, "networks": len(learned_from)}
    kinds = ["xgb", *(b for b in BASELINES if not (arguments.unseen and b == "ridge"))]
    predictors |= {kind: make_predictor(kind, seed=seed) for kind in kinds}
    return Task(data, predictors, origin)


def over_splits(arguments: argparse.Namespace, first: Evaluation) -> dict[str, Any]:
    """Coverage and median width of the judged predictor's interval, trained and judged again on other random
    splits; `first` is that of the headline's split. Means over the splits, and every one's."""
    found = [first]
    for seed in range(arguments.seed + 1, arguments.seed + arguments.splits):
        task = task_of(arguments, seed)
        found.append(
            fit_and_evaluate(first.name, task.data, seed=seed, predictor=task.predictors[first.name])
        )
    coverages = [float(e.covered.mean()) for e in found]
    widths = [float(np.median(e.width)) for e in found]
    return {
        "splits": len(found),
        "judgements": sum(len(e.measured) for e in found),
        "coverage": float(np.mean(coverages)),
        "width": finite(float(np.mean(widths))),
        "coverages": coverages,
        "widths": [finite(width) for width in widths],
    }


def range_of(task: Task) -> dict[str, float | int]:
    """What the range that `predictor.predict` prints for a foreign network is worth on the test networks:
    the judged predictor's, which is fitted by now."""
    data, predictor = task.data, next(iter(task.predictors.values()))
    assert isinstance(predictor, KernelPredictor)
    known = KnownKernels.of((k for e in data.train for k in e.network.kernels), data.conditions)
    residuals = by_study(out_of_fold(predictor, data.train, seed=data.seed), data.train)
    unlike = by_study(out_of_place(predictor, data.train, seed=data.seed), data.train)
    low, high = around(residuals, unlike)(np.array([1.0]), [""])
    factors = float(low[0]), float(high[0])
    found = [
        priced(predictor, data.conditions, known, Peak.of(data.meta), factors,
               [Executed(k) for k in e.network.kernels])
        for e in data.test
    ]  # fmt: skip
    measured = data.latencies(data.test)
    low, high = (np.array([getattr(one, end) for one in found]) for end in ("low_us", "high_us"))
    total = np.array([one.latency_us for one in found])
    return {
        "coverage": float(np.mean((low <= measured) & (measured <= high))),
        "width": float(np.median((high - low) / total)),
        "extrapolated_share": float(np.mean([p.part_us("extrapolated") / p.latency_us for p in found])),
        "roofline_share": float(np.mean([p.part_us("roofline") / p.latency_us for p in found])),
        "kernels_half_width": max(half_width(own) for own in unlike.values()),
    }


def filling(examples: Sequence[Example]) -> tuple[Example, ...]:
    """Those that were chosen to fill the space."""
    return tuple(e for e in examples if e.record.chosen_as == "filling")


def split(parts: Sequence[Dataset], n_train: int) -> Dataset:
    """Exactly `n_train` networks of each study to learn from, the extremes among them; all others that
    fill the space to judge on."""
    whole: Dataset | None = None
    for part in parts:
        everything = part.examples  # those that are never held out come first
        train, test = everything[:n_train], filling(everything[n_train:])
        if len(train) < n_train or not test:
            raise OvnasError(
                f"study {part.meta['study']!r} has {len(everything)} networks, but {n_train} are wanted to "
                "learn from and others to judge on; measure more, or give a smaller -n"
            )
        if whole is None:
            whole = dataclasses.replace(part, train=train, test=test)
        else:
            whole = joined(whole, part, train=train, test=test, keep_test=True)
    assert whole is not None
    return whole


def joined(
    first: Dataset, second: Dataset, *, train: Sequence[Example], test: Sequence[Example], keep_test: bool
) -> Dataset:
    """`first` and these networks of `second`, a study measured under the same conditions."""
    if second.meta["study"] in first.plans:
        raise OvnasError(f"study {second.meta['study']!r} is given twice; give each one once")
    require_same(first.meta, second.meta, Path(second.meta["study"]))
    return dataclasses.replace(
        first,
        plans={**first.plans, **second.plans},
        anchor_us={**first.anchor_us, **second.anchor_us},
        train=(*first.train, *train),
        test=(*(first.test if keep_test else ()), *test),
    )


def adapted(
    data: Dataset, before: Dataset, origin: Path, seed: int
) -> tuple[AdaptedPredictor, Sequence[Example]]:
    """xgb trained at the origin, ready to be adapted, and what it learned from. What is judged on, and what
    the intervals are calibrated on, is kept from the origin's training, too: those architectures are unseen
    under any conditions."""
    is_same_machine = not describe_difference(before.meta["machine"], data.meta["machine"])
    if is_same_machine and before.meta["target"] == data.meta["target"]:
        raise OvnasError(f"{origin} was measured under the same conditions; there is nothing to adapt")
    others = unseen_by(before, data)
    if len(others) < N_ADAPT:
        raise OvnasError(
            f"{origin} has {len(others)} networks that are neither adapted with nor judged on, but {N_ADAPT} "
            "are needed; measure other ones there (another --seed)"
        )
    base = before.fit(make_predictor("xgb", seed=seed), others)
    if not isinstance(base, KernelPredictor):
        raise TypeError("the base of an adapted predictor must predict kernels")
    return AdaptedPredictor(base, before.conditions, seed=seed), others


def unseen_by(before: Dataset, data: Dataset) -> list[Example]:
    """The networks of `before` whose architectures `data` neither learns from nor judges on."""
    used = {(e.study, e.record.architecture) for e in data.examples}
    return [e for e in before.examples if (e.study, e.record.architecture) not in used]


def _row(value: dict[str, Any]) -> str:
    """Names the conditions."""
    target = value["target"]
    names = "+".join(value["studies"])
    if value["judged_on"] != value["studies"]:
        names = f"{'+'.join(value['judged_on'])}-unseen-by-{names}"
    before = value["adapted_from"]
    return f"{names}-{_mode(target)}{'-from-' + _mode(before['target']) if before else ''}"


def _mode(target: Target) -> str:
    if target["mode"] == "latency":
        return f"{target['threads']}-threads"
    return f"{target['streams']}-streams"


def _print(value: dict[str, Any]) -> None:
    counts = value["counts"]
    print(f"learned from {counts['train_networks']}, judged on {counts['test_networks']} networks")
    if not value["enough_judged"]:
        print(f"note: fewer than {FEWEST_JUDGED} networks are judged on")
    for name, found in value["predictors"].items():
        own, low_high = found["network"], found["network_interval"]["mape"]
        interval = found["interval"]
        width = "infinite" if interval["width"] is None else f"{interval['width']:.2%}"
        verdicts = ", ".join(
            f"{other}: {d['mape']['verdict']}/{d['kendall_tau']['verdict']}"
            for other, d in found["against"].items()
        )
        print(
            f"{name:8} MAPE {own['mape']:.2%} ({low_high[0]:.2%} to {low_high[1]:.2%}), in 2 % "
            f"{own['within_2']:.1%}, in 5 % {own['within_5']:.1%}, tau {own['kendall_tau']:.3f}; interval "
            f"holds {interval['coverage']:.1%}, width {width}{'; ' + verdicts if verdicts else ''}"
        )
        for study, part in interval["studies"].items():
            width = "infinite" if part["width"] is None else f"{part['width']:.2%}"
            print(f"         of {study}: holds {part['coverage']:.1%} of {part['networks']}, width {width}")
    splits = value["splits"]
    width = "infinite" if splits["width"] is None else f"{splits['width']:.2%}"
    print(
        f"interval over {splits['splits']} splits: holds {splits['coverage']:.1%} of {splits['judgements']}, "
        f"width {width}"
    )
    if value["ceiling"]["mape"] is not None:
        low, high = value["ceiling"]["mape_interval"]
        print(
            f"ceiling  {value['ceiling']['mape']:.2%} ({low:.2%} to {high:.2%}), floor "
            f"{value['ceiling']['floor']:.2%}, tau {value['ceiling']['kendall_tau']:.3f}"
        )


if __name__ == "__main__":
    sys.exit(main())
