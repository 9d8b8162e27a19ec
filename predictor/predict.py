"""`python -m predictor.predict`: the latency of one network, of a space or any other, and of its kernels."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet import cli
from supernet.study import Study

if TYPE_CHECKING:
    from predictor.foreign import Prediction
    from predictor.roofline import Peak
    from predictor.saved import SavedPredictor

_SHOWN = 12


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(
        "predictor.predict",
        "Predict the latency of a model file (INT8, compiled but not run) or of an architecture.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", type=Path, metavar="FILE", help="an OpenVINO .xml or an .onnx file")
    what.add_argument("--architecture", metavar="TEXT", help="a member of the study's space, as in front.csv")
    parser.add_argument(
        "--predictor", default="xgb", metavar="NAME", help="a trained predictor of the study (default: xgb)"
    )
    parser.add_argument("--all", action="store_true", help="print every kernel, not the slowest only")
    return cli.run(predict, parser.parse_args(argv))


def predict(arguments: argparse.Namespace) -> dict[str, Any]:
    """Predicts and prints; returns total, interval or range, and the table of kernels."""
    from predictor.conformal import finite
    from predictor.foreign import is_int8
    from predictor.roofline import Peak
    from predictor.saved import load
    from predictor.train import predictor_folder
    from profiling.machine import describe_target, read_machine, read_target

    study = Study.load(arguments.study)
    saved = load(predictor_folder(study, arguments.runs_dir, arguments.predictor))
    target = read_target(study.target)
    saved.require(read_machine(), target)
    if arguments.architecture is not None:
        found, name = _of_architecture(saved, arguments.architecture, study), arguments.architecture
    else:
        found, name = _of_file(saved, arguments.model), str(arguments.model)
    warnings = _warnings(found, Peak.of(saved.card))
    if not any(is_int8(c.kernel) for c in found.costs):
        warnings.insert(0, "no kernel of this model computes in INT8: quantise it first for INT8 latencies")
    out = cli.console(arguments)
    out.print(
        f"{name}: {found.latency_us / 1e3:.3f} ms with {describe_target(target)}; {_ends(found)} "
        f"({saved.name})",
        soft_wrap=True,
    )
    costs = list(found.costs) if arguments.all else sorted(found.costs, key=lambda c: -c.latency_us)[:_SHOWN]
    rows = [
        [
            c.layer[-48:],
            c.kernel.kind,
            f"{c.kernel.in_channels}x{c.kernel.in_height}x{c.kernel.in_width}",
            f"{c.kernel.out_channels}x{c.kernel.out_height}x{c.kernel.out_width}",
            f"{c.latency_us:.1f}",
            f"{c.latency_us / found.latency_us:.1%}",
            c.source,
        ]
        for c in costs
    ]
    title = f"{'all' if len(costs) == len(found.costs) else 'slowest'} {len(costs)} of its kernels"
    columns = ("layer", "kernel", "input", "output", "us", "of all", "cost is")
    cli.print_table(out, f"{title}; a fixed cost of {found.overhead_us:.1f} us besides", columns, rows)
    for warning in warnings:
        out.print(f"note: {warning}", soft_wrap=True)
    return {
        "study": study.name,
        "predictor": saved.name,
        "target": target,
        "network": name,
        "latency_us": found.latency_us,
        "interval_us": [finite(found.low_us), finite(found.high_us)],
        "is_calibrated": found.is_calibrated,
        "overhead_us": found.overhead_us,
        "parts_us": {s: found.part_us(s) for s in ("predicted", "extrapolated", "roofline")},
        "kernels": [c.to_json() for c in found.costs],
        "warnings": warnings,
    }


def _of_architecture(saved: SavedPredictor, text: str, study: Study) -> Prediction:
    from predictor.foreign import predict_kernels
    from supernet.architecture import Architecture

    plan = saved.plan_of(study.name)
    architecture = Architecture.parse(text)
    layers = [planned.layer for planned in plan.alive_in(architecture)]
    return predict_kernels(saved, plan.of(architecture), layers, [""] * len(layers), study=study.name)


def _of_file(saved: SavedPredictor, path: Path) -> Prediction:
    from predictor.foreign import predict_kernels, read_network

    executed = read_network(path, saved.card["target"])
    layers = [(item.originals or (item.name,))[0].removeprefix("__module.") for item in executed]
    kernels = [item.kernel for item in executed]
    return predict_kernels(saved, kernels, layers, [item.exec_type for item in executed])


def _ends(found: Prediction) -> str:
    """What the true latency lies in, and what that is worth."""
    from math import isfinite

    from predictor.conformal import LEVEL

    if not isfinite(found.high_us):
        return "no interval: too few networks learned from"
    ends = f"{found.low_us / 1e3:.3f} to {found.high_us / 1e3:.3f} ms"
    return f"{LEVEL:.0%} interval {ends}" if found.is_calibrated else f"range {ends}"


def _warnings(found: Prediction, peak: Peak) -> list[str]:
    """One line a reason why the prediction is less sure than usual."""
    lines = []
    unknown = [c for c in found.costs if c.source == "roofline"]
    for reason in dict.fromkeys(c.reason for c in unknown):
        own = [c.layer for c in unknown if c.reason == reason]
        lines.append(f"{reason}, so {_some(own)} cost a roofline bound, and the range is wider")
    if unknown and not peak.is_measured:
        lines.append(
            f"the machine's peak was not measured: the bound takes {peak.int8_gops:g} GOPS in INT8, "
            f"{peak.f32_gops:g} in f32 and {peak.bandwidth_gbs:g} GB/s"
        )
    outside = [c for c in found.costs if c.source == "extrapolated"]
    if outside:
        share = found.part_us("extrapolated") / found.latency_us
        lines.append(
            f"{_some([c.layer for c in outside])} ({share:.0%} of the time) lie outside of what was learned "
            f"from ({outside[0].layer}: {outside[0].reason}), so the range is wider"
        )
    return lines


def _some(names: Sequence[str], n: int = 3) -> str:
    rest = f" and {len(names) - n} more" if len(names) > n else ""
    return f"{len(names)} kernel(s) ({', '.join(names[:n])}{rest})"


if __name__ == "__main__":
    sys.exit(main())
