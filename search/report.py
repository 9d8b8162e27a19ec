"""The search's results: front.csv, search.json, one HTML page, a terminal table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from predictor.conformal import LEVEL
from profiling.machine import conditions
from search import pictures
from search.problem import Candidate
from supernet.page import Page

__all__ = ["COLUMNS", "NOT_MEASURED", "best_of", "rows_of", "verdict", "write_page"]

NOT_MEASURED = "accuracy not measured"
COLUMNS = (
    "network", "million MACs", "top-1 FP32", "top-1 INT8", "predicted ms", "interval ms", "measured ms",
    "error", "samples/s", "speed-up",
)  # fmt: skip


def rows_of(value: dict[str, Any]) -> list[list[str]]:
    """The finalists' table of a search.json value, the baseline first."""
    base = value["baseline"]
    rows = [
        ["INT8 baseline", f"{base['macs'] / 1e6:.1f}", _share(base["top1_fp32"]), _share(base["top1_int8"]),
         "", "", f"{base['latency_us'] / 1e3:.3f}", "", f"{base['throughput_sps']:.0f}", "1.00x"]
    ]  # fmt: skip
    for i, one in enumerate(value["finalists"], start=1):
        predicted, measured = one["predicted"]["latency_us"], one["measured"]
        error = prediction_error(value, one)
        rows.append(
            [f"finalist {i}", f"{one['macs'] / 1e6:.1f}", _share(measured["top1_fp32"]),
             _share(measured["top1_int8"]), f"{predicted / 1e3:.3f}",
             _interval(one["predicted"]["interval_us"]), f"{measured['latency_us'] / 1e3:.3f}",
             f"{error:+.1%}", f"{measured['throughput_sps']:.0f}",
             f"{measured['speedup']:.2f}x"]
        )  # fmt: skip
    return rows


def _interval(ends_us: list[float | None]) -> str:
    low, high = ends_us
    return "none" if low is None or high is None else f"{low / 1e3:.3f} to {high / 1e3:.3f}"


def prediction_error(value: dict[str, Any], finalist: dict[str, Any]) -> float:
    """Relative error of the predicted latency, at the machine's speed when it was profiled: the
    baseline, measured then and now, says how much that has changed."""
    then_us = finalist["measured"]["latency_us"] * value["machine_speed"]
    return float(finalist["predicted"]["latency_us"] / then_us - 1)


def best_of(value: dict[str, Any]) -> int | None:
    """The index of the fastest finalist that keeps, measured in INT8 on the test split, to the study's
    accuracy drop; None if there is none. Without data, of the fastest."""
    base = value["baseline"]["top1_int8"]
    drop = value["constraints"]["max_accuracy_drop"]
    least = -1.0 if base is None or drop is None else base - drop / 100 - 1e-9
    kept = [
        (one["measured"]["speedup"], i)
        for i, one in enumerate(value["finalists"])
        if base is None or one["measured"]["top1_int8"] >= least
    ]
    return max(kept)[1] if kept else None


def verdict(value: dict[str, Any]) -> str:
    """What was found, in one sentence."""
    allowed = value["constraints"]["max_accuracy_drop"]
    drop = "any loss" if allowed is None else f"{allowed:g} point(s)"
    best = best_of(value)
    if best is None:
        return f"no finalist is within {drop} of the baseline's INT8 test accuracy"
    measured = value["finalists"][best]["measured"]
    change = 100 * (measured["top1_int8"] - value["baseline"]["top1_int8"])
    return (
        f"fastest within {drop} of the baseline's INT8 test accuracy: finalist {best + 1}, "
        f"{measured['speedup']:.2f}x at {change:+.2f} points"
    )


def _share(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.2%}"


def write_page(
    value: dict[str, Any],
    candidates: Sequence[Candidate],
    front: Sequence[Candidate],
    chosen: Sequence[Candidate],
    path: Path,
) -> None:
    """report.html of a search.json value."""
    page = Page(f"Search in {value['study']}", conditions(value["machine"], value["target"]))
    finalists, base = value["finalists"], value["baseline"]
    best = best_of(value)
    facts = []
    if best is not None:
        measured = finalists[best]["measured"]
        facts.append((f"{measured['speedup']:.2f}x", f"speed-up of finalist {best + 1}, measured"))
        if base["top1_int8"] is not None:
            change = 100 * (measured["top1_int8"] - base["top1_int8"])
            facts.append((f"{change:+.2f} points", "its INT8 test accuracy against the baseline's"))
    errors = [abs(prediction_error(value, f)) for f in finalists]
    facts += [
        (f"{sum(errors) / len(errors):.1%}", "mean error of predicted latency"),
        (f"{value['evaluations']['accuracy_measured']}", "architectures really evaluated"),
        (f"{value['evaluations']['latency_predicted']:,}", "latencies predicted"),
    ]
    page.facts(facts)
    if base["top1_int8"] is not None:
        sentence = verdict(value)
        page.text(f"{sentence[0].upper()}{sentence[1:]}.")
    else:
        page.text(f"No data: {NOT_MEASURED}. The search maximised MACs as its declared stand-in.")
    page.heading("Finalists")
    page.text(
        "Latency and throughput are measured end to end beside the INT8 pre-trained model; accuracy is "
        "that of the INT8 model on the test split, which nothing was chosen by. Errors of prediction are "
        f"taken at the machine's speed when it was profiled; it now runs at {value['machine_speed']:.3f} "
        "of that. Samples a second are with one stream a CPU, all busy. The interval is the predictor's own, "
        f"of {LEVEL:.0%}, for a network of this study on the machine as it was profiled."
    )
    page.table(COLUMNS, rows_of(value))
    names = [f"finalist {i}" for i in range(1, len(finalists) + 1)]
    page.figures(
        (
            pictures.speedup_bars(
                names,
                [f["measured"]["speedup"] for f in finalists],
                [base["macs"] / f["macs"] for f in finalists],
            ),
            "Work saved is not time saved: what was measured.",
        ),
        (
            pictures.predicted_and_measured(
                names,
                [f["predicted"]["latency_us"] for f in finalists],
                [f["measured"]["latency_us"] * value["machine_speed"] for f in finalists],
            ),
            "Predicted beside measured, at the machine's speed when it was profiled.",
        ),
    )
    page.heading("Front")
    page.figures(
        (
            pictures.front_picture(candidates, front, chosen, value["quality"]),
            "Every architecture evaluated; hover over a point for its choices.",
        )
    )
    page.heading("Files")
    rows = [
        [name, f["architecture"], *(f["files"][kind] for kind in ("ir", "onnx", "weights"))]
        for name, f in zip(names, finalists, strict=True)
    ]
    page.table(("network", "architecture", "INT8 OpenVINO IR", "ONNX", "weights"), rows)
    page.write(path)
