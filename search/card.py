"""The model card of one exported network: every figure, its conditions, and what repeats it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from predictor.conformal import LEVEL
from profiling.machine import describe_target
from profiling.timing import QUANTILE, ROUND_QUANTILE
from search.export import onnx_checker
from search.table import NOT_MEASURED

__all__ = ["CARD", "card_text", "write_card"]

CARD = "card.json"

# 1: a finalist's figures with study, machine, target, quality and seed.
# 2: all conditions, of the baseline too; README.md beside it. Since then added: LoadGen's figures.
# 3: "schema_version" is its name; versions, digests, the baseline's own figures, copies and rounds.
SCHEMA_VERSION = 3

# What a card keeps of a search.json value.
_CONDITIONS = (
    "study", "machine", "target", "throughput_target", "seed", "command", "algorithm", "predictor",
    "quality", "is_accuracy", "objectives", "constraints", "machine_speed", "calibration_samples",
    "batchnorm_samples", "n_test", "copies", "rounds_a_copy", "half_range_weights", "versions", "supernet",
    "predictor_data", "preprocessing",
)  # fmt: skip
# And of its baseline, for a finalist.
_OF_BASELINE = (
    "latency_us",
    "throughput_sps",
    "top1_fp32",
    "top1_int8",
    "top1_int8_se",
    "macs",
    "model_bytes",
)


def write_card(value: dict[str, Any], conditions: dict[str, Any], folder: Path) -> None:
    """Writes card.json and README.md into the network's `folder`.

    `value` is a search.json's "baseline" or one of its "finalists", `conditions` the search.json value
    itself, or at least its keys that say how the figures were got.
    """
    from supernet.whole_files import write_json

    kept = {key: conditions[key] for key in _CONDITIONS if key in conditions}
    if "measured" in value and "baseline" in conditions:
        kept["baseline"] = {key: conditions["baseline"][key] for key in _OF_BASELINE}
    card = {"schema_version": SCHEMA_VERSION, **kept, **value}
    card.setdefault("onnx_checked_by", onnx_checker())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(card_text(card), encoding="utf-8")
    write_json(card, folder / CARD)


def card_text(card: dict[str, Any]) -> str:
    """README.md of a card.json value, in Markdown."""
    is_finalist = "measured" in card
    role = "sub-network" if is_finalist else "pre-trained model (the baseline of the search)"
    parts = [
        f"# {card.get('study', 'network')}: INT8 {role}",
        f"`{card.get('architecture') or 'the pre-trained model as it is'}`",
        _paragraph(card, is_finalist),
    ]
    if card.get("violations"):
        parts += ["**Measured, it breaks what was asked for:** " + "; ".join(card["violations"]) + "."]
    parts += [
        "## Figures",
        _table(("figure", "value", "uncertainty", "how it was got"), _figures(card, is_finalist)),
        "## Conditions",
        _table(("condition", "value"), _conditions(card)),
        "## Files",
        _table(("file", "what it is"), _files(card)),
        "## Use",
        _use(card),
    ]
    return "\n\n".join(parts) + "\n"


def _paragraph(card: dict[str, Any], is_finalist: bool) -> str:
    if not is_finalist:
        return (
            "What the finalists of this search are compared with: quantised, measured and judged as they are."
        )
    made = f"Extracted from the super-network by ovnas, {_training(card)} and measured."
    faster = card["measured"].get("is_faster")
    if faster is None:
        return made
    verdict = (
        "is faster than the INT8 pre-trained model: the whole interval of its speed-up lies above 1"
        if faster
        else "is not faster than the INT8 pre-trained model beyond the noise of the measurement"
    )
    return f"{made} It {verdict}."


def _training(card: dict[str, Any]) -> str:
    """How it came to its INT8 weights, in words."""
    made = []
    own, int8 = card.get("finetuning"), card.get("int8_finetuning")
    if own is not None and own.get("epochs") != 0:
        epochs = f" for {own['epochs']} epoch(s) at {own['learning_rate']:g}" if own.get("epochs") else ""
        made.append(f"fine-tuned alone{epochs} (`python -m supernet.finetune`), ")
    made.append("quantised to INT8")
    if int8:
        epochs = f"for {int8['epochs']} epoch(s) at {int8['learning_rate']:g}"
        made.append(f", trained on as that {epochs} (`python -m supernet.finetune --int8`)")
    return "".join(made)


Row = tuple[str, str, str, str]


def _figures(card: dict[str, Any], is_finalist: bool) -> list[Row]:
    measured = card["measured"] if is_finalist else card
    busy = card.get("throughput_target")
    beside = "end to end, in rounds shared with the INT8 pre-trained model"
    mode = (card.get("target") or {}).get("mode")
    round_ = "its mean" if mode == "throughput" else f"where its fastest {QUANTILE:.0%} end"
    one = (
        f"{beside}: of a round, {round_}, beside that model's; of the rounds, where the fastest "
        f"{ROUND_QUANTILE:.0%} end; times that model's usual latency"
    )
    many = one if not busy else f"{beside}; {describe_target(busy)}"
    spread = "the speed-up's 95 % interval, the baseline's figure standing still"
    rows: list[Row | None] = [
        _accuracy(measured, card, "top1_int8", "INT8", "compiled for the target; test split"),
        _accuracy(measured, card, "top1_fp32", "FP32", "test split"),
        _row(
            "INT8 top-1 against the baseline's",
            None if measured.get("top1_int8_change") is None else 100 * measured["top1_int8_change"],
            "{:+.2f} points",
            f"standard error {100 * (measured.get('top1_int8_change_se') or 0.0):.2f} points",
            "on the same test images",
        ),
        _row(
            "latency",
            measured.get("latency_us"),
            "{:,.1f} us",
            _ends_if_any(measured.get("latency_interval_us"), "{:,.1f}", f"us: {spread}"),
            f"{one}; {_target(card)}",
        ),
        _row(
            "throughput",
            measured.get("throughput_sps"),
            "{:,.1f} samples/s",
            _ends_if_any(measured.get("throughput_interval_sps"), "{:,.1f}", f"samples/s: {spread}"),
            many,
        ),
    ]
    for name, label, how in (
        ("speedup", "speed-up in latency over the INT8 baseline", one),
        ("throughput_speedup", "speed-up in throughput over the INT8 baseline", many),
        ("speedup_fp32", "speed-up in latency over the FP32 pre-trained model", one),
        ("throughput_speedup_fp32", "speed-up in throughput over the FP32 pre-trained model", many),
    ):
        ends = _ends(measured.get(f"{name}_interval"), "{:.3f}", "95 % interval over copies and rounds")
        rows.append(_row(label, measured.get(name), "{:.3f}x", ends, how))
    fp32 = card.get("fp32") or {}
    rows.append(_row("latency of the FP32 pre-trained model", fp32.get("latency_us"), "{:,.1f} us", "", one))
    if base := card.get("baseline"):
        rows.append(_row("latency of the INT8 baseline", base["latency_us"], "{:,.1f} us", "", one))
        rows.append(_accuracy(base, card, "top1_int8", "INT8, of the baseline", "test split"))
    rows += _predicted(card)
    layers = card.get("int8_layers")
    rows += [
        _row(
            "multiply-accumulates", card.get("macs"), "{:,}", "", "convolutions and linear layers, one image"
        ),
        _row("parameters", card.get("n_parameters"), "{:,}", "", "counted"),
        _row("model size", card.get("model_bytes"), "{:,} bytes", "", "INT8 weights: model.bin"),
    ]
    if layers:
        how = "convolutions and linear layers, read from the compiled model"
        rows.append(("layers executed in INT8", f"{layers[0]} of {layers[1]}", "", how))
    rows += [_loadgen(run) for run in card.get("mlperf") or ()]
    return [row for row in rows if row is not None]


def _loadgen(run: dict[str, Any]) -> Row:
    """One of search.json's "mlperf", of this network."""
    spread = f"LoadGen's verdict: {run['verdict']}" + (f" ({run['reason']})" if run.get("reason") else "")
    how = "a quick run: not valid for a submission" if run["is_quick"] else "the rules' duration and counts"
    if run.get("bound_ms") is not None:
        how += f"; 99th percentile within {run['bound_ms']:g} ms"
    if run.get("arrangement"):
        how += f"; {_plain(run['arrangement'])}"
    figure = "no figure" if run["value"] is None else f"{run['value']:,.3f}"
    return f"MLPerf {run['scenario']}, {run['metric']}", figure, spread, how


def _predicted(card: dict[str, Any]) -> list[Row | None]:
    """What the search believed before it was built."""
    predicted = card.get("predicted")
    if not predicted:
        return []
    inside = card.get("is_inside_interval")
    told = "" if inside is None else f"; the measured one lies {'inside' if inside else 'OUTSIDE'}"
    speed = card.get("machine_speed") or 1.0
    interval = [None if end is None else end / speed for end in predicted.get("interval_us") or ()]
    ends = _ends(interval, "{:,.1f}", f"{LEVEL:.0%} interval, us")
    at = f"at the machine's speed of the measurement, {speed:.3f} of that when it was profiled"
    by = card.get("predictor") or "predictor"
    top1, latency_us = predicted.get("top1"), predicted["latency_us"] / speed
    return [
        _row("predicted latency", latency_us, "{:,.1f} us", ends + told, f"`{by}`, {at}"),
        _row(
            "validation top-1",
            None if top1 is None else 100 * top1,
            "{:.2f} %",
            "",
            "FP32, on the super-network's weights: what the search went by",
        ),
    ]


def _accuracy(measured: dict[str, Any], card: dict[str, Any], key: str, of: str, how: str) -> Row:
    label = f"top-1, {of}"
    value, error = measured.get(key), measured.get(f"{key}_se")
    if value is None:
        return label, NOT_MEASURED, "", "the study has no data"
    n = card.get("n_test")
    spread = "" if error is None else f"standard error {100 * error:.2f} points"
    return label, f"{100 * value:.2f} %", spread, how if n is None else f"{how}, n = {n:,}"


def _row(label: str, value: float | None, form: str, spread: str, how: str) -> Row | None:
    return None if value is None else (label, form.format(value), spread, how)


def _ends(ends: Sequence[float | None] | None, form: str, what: str) -> str:
    if not ends or ends[0] is None or ends[1] is None:
        return "no interval"
    return f"{form.format(ends[0])} to {form.format(ends[1])} ({what})"


def _ends_if_any(ends: Sequence[float] | None, form: str, what: str) -> str:
    return _ends(ends, form, what) if ends else ""


def _target(card: dict[str, Any]) -> str:
    return describe_target(card["target"]) if card.get("target") else "target unknown"


def _conditions(card: dict[str, Any]) -> list[tuple[str, str]]:
    machine = card.get("machine") or {}
    rows = [("target", _target(card))]
    rows += [(name.replace("_", " "), _plain(value)) for name, value in machine.items()]
    for key, label in (
        ("calibration_samples", "calibration samples of the quantisation"),
        ("batchnorm_samples", "samples that BatchNorm was re-estimated on"),
        ("n_test", "test images"),
        ("half_range_weights", "weights of 7 bits, for a CPU without VNNI"),
        ("copies", "compiled copies of each network measured"),
        ("rounds_a_copy", "rounds of each copy"),
        ("versions", "versions"),
        ("supernet", "SHA-256 of the super-network's weights"),
        ("predictor_data", "hash of what the predictor learned from"),
        ("quality", "quality that was searched for"),
        ("algorithm", "algorithm"),
        ("predictor", "predictor"),
        ("objectives", "objectives"),
        ("constraints", "constraints"),
        ("seed", "seed"),
        ("round", "round of the search"),
        ("onnx_checked_by", "ONNX file checked by"),
    ):
        if key == "calibration_samples" and card.get("int8_finetuning"):
            continue  # training moved the ranges on
        if card.get(key) not in (None, ""):
            rows.append((label, _plain(card[key])))
    return rows


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in value.items() if v is not None
        )
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


def _files(card: dict[str, Any]) -> list[tuple[str, str]]:
    batch = (card.get("target") or {}).get("batch", 1)
    rows = [
        ("model.xml, model.bin", f"OpenVINO IR in INT8; its batch is fixed at {batch}"),
        ("model.onnx", f"FP32; computes the same as the weights by {card['onnx_checked_by']}"),
        ("weights.safetensors", "FP32 weights and BatchNorm statistics"),
    ]
    if card.get("int8_finetuning"):
        rows[0] = (rows[0][0], f"{rows[0][1]}, with weights of its own: trained on from the others")
    if card.get("architecture"):
        rows.append(("architecture.txt", "the choices that make it, as `Architecture.parse` reads them"))
    return [*rows, (CARD, "all of this as JSON")]


def _use(card: dict[str, Any]) -> str:
    target = card.get("target") or {"mode": "latency", "threads": 1, "streams": 1, "batch": 1}
    api = "sync" if target["mode"] == "latency" else "async"
    side = re.search(r"_r(\d+)$", card.get("architecture") or "")
    size = f", at {side[1]} x {side[1]} px (bilinear, antialiased)" if side else ""
    image = card.get("preprocessing") or "as the study's data gives it"
    lines = [
        "Its speed, by OpenVINO's own tool (the second line is the target above):",
        "",
        "    benchmark_app -m model.xml",
        f"    benchmark_app -m model.xml -d CPU -hint none -api {api} -nstreams {target['streams']} "
        f"-nthreads {target['threads']} -infer_precision f32",
        "",
        f"From Python, with an image of shape (batch, channels, height, width){size}; {image}:",
        "",
        "    import openvino as ov",
        '    compiled = ov.Core().compile_model("model.xml", "CPU")',
        "    scores = compiled([image])[0]",
    ]
    if card.get("command"):
        lines += ["", "All figures again, from the search on:", "", f"    {card['command']}"]
    return "\n".join(lines)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
