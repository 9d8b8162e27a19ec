"""How true predictors are on networks that they have not seen, from measurement files:

    python benchmarks/predictor_accuracy.py runs/resnet50/profiling/measurements.sqlite

learns from exactly 150 of the file's networks and judges on all others that were chosen to fill the space.
`--also FILE` learns from as many of a second study, too, and judges on both; `--unseen FILE` judges on a
study that nothing was learned from; `--adapt-from FILE -n 30` adapts a predictor trained on FILE, under other
conditions, with 30 networks, beside one trained on those 30 alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from results_file import write_result

from predictor.adapted import AdaptedPredictor
from predictor.base import LatencyPredictor
from predictor.conformal import LEVEL, out_of_fold, representative
from predictor.dataset import Dataset, Example, load_dataset, require_same
from predictor.evaluation import Evaluation, around, evaluate
from predictor.judgement import judge
from predictor.registry import ADAPTED, BASELINES, make_predictor
from profiling.ceiling import ceiling_of
from profiling.machine import describe_difference
from supernet.errors import OvnasError

N_TRAIN = 150
N_ADAPT = 30
FEWEST_JUDGED = 60


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
    n_train = arguments.train or (N_ADAPT if arguments.adapt_from else N_TRAIN)
    paths = [arguments.file, *([arguments.also] if arguments.also else [])]
    data = split([load_dataset([path], seed=arguments.seed) for path in paths], n_train)
    if arguments.unseen:
        other = load_dataset([arguments.unseen], seed=arguments.seed)
        data = joined(data, other, train=(), test=filling(other.examples), keep_test=False)
    origin: dict[str, Any] | None = None
    baselines = BASELINES
    if arguments.adapt_from:
        before = load_dataset([arguments.adapt_from], seed=arguments.seed)
        evaluations = adapted(data, before, arguments.adapt_from, arguments.seed)
        origin = {key: before.meta[key] for key in ("study", "target")}
        origin["networks"] = len(unseen_by(before, data))
        baselines = (*BASELINES, "xgb")  # from scratch, on the same few networks
    else:
        kinds = ["xgb", *(b for b in BASELINES if not (arguments.unseen and b == "ridge"))]
        evaluations = [fitted(make_predictor(k, seed=arguments.seed), k, data, arguments.seed) for k in kinds]
    one_study = len({e.study for e in data.test}) == 1
    quality = np.array([float(e.record.macs) for e in data.test]) if one_study else None
    judgements = judge(evaluations, quality, seed=arguments.seed, baselines=baselines)
    judged = [e.record for e in data.examples if e.study in {t.study for t in data.test}]
    return {
        "studies": list(dict.fromkeys(e.study for e in data.train)),
        "judged_on": list(dict.fromkeys(e.study for e in data.test)),
        "adapted_from": origin,
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
        "predictors": {j.name: j.to_json() for j in judgements},
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


def fitted(predictor: LatencyPredictor, name: str, data: Dataset, seed: int) -> Evaluation:
    """Trained on the training networks, and judged with the interval that they give."""
    data.fit(predictor, data.train)
    residuals = representative(out_of_fold(predictor, data.train, seed=seed), data.train)
    return evaluate(name, predictor, data, around(residuals))


def adapted(data: Dataset, before: Dataset, origin: Path, seed: int) -> list[Evaluation]:
    """xgb trained at the origin and adapted, beside all kinds from scratch. What is judged on, and what the
    intervals are calibrated on, is kept from the origin's training, too: those architectures are unseen under
    any conditions."""
    is_same_machine = not describe_difference(before.meta["machine"], data.meta["machine"])
    if is_same_machine and before.meta["target"] == data.meta["target"]:
        raise OvnasError(f"{origin} was measured under the same conditions; there is nothing to adapt")
    others = unseen_by(before, data)
    if len(others) < N_ADAPT:
        raise OvnasError(
            f"{origin} has {len(others)} networks that are not judged on, but {N_ADAPT} are needed; measure "
            "other ones there (another --seed)"
        )
    base = before.fit(make_predictor("xgb", seed=seed), others)
    predictor = AdaptedPredictor(base, before.conditions, seed=seed)
    evaluations = [fitted(predictor, ADAPTED, data, seed)]
    for kind in ("xgb", *BASELINES):
        evaluations.append(fitted(make_predictor(kind, seed=seed), kind, data, seed))
    return evaluations


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


def _mode(target: dict[str, Any]) -> str:
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
    if value["ceiling"]["mape"] is not None:
        print(f"ceiling  {value['ceiling']['mape']:.2%}, tau {value['ceiling']['kendall_tau']:.3f}")


if __name__ == "__main__":
    sys.exit(main())
