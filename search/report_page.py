"""report.html of a search: what was found, how sure it is, and why it is fast."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from predictor.conformal import LEVEL
from profiling.machine import conditions, describe_target
from search import layer_pictures, pictures
from search.outcome import Finalist, Network, Outcome, Ratio
from search.places import Places
from search.problem import Candidate
from search.table import (
    NOT_MEASURED,
    change_text,
    constraints_text,
    figure_text,
    top1_text,
    verdict_of,
)
from supernet.page import Cell, Page, Tone

__all__ = ["make_page"]


def make_page(outcome: Outcome, candidates: Sequence[Candidate], front: Sequence[Candidate]) -> Page:
    """All sections that the outcome has something for."""
    page = Page(f"Search in {outcome.study}", conditions(outcome.machine, outcome.target))
    page.text(_how(outcome), quiet=True)
    page.facts(_facts(outcome))
    sentence = verdict_of(outcome)
    page.text(f"{sentence[0].upper()}{sentence[1:]}.")
    if not outcome.is_accuracy:
        stand_in = " The search maximised MACs as its declared stand-in."
        page.text(f"No data: {NOT_MEASURED}.{stand_in if 'accuracy' in outcome.objectives else ''}")
    page.heading("Front")
    caption = _front_caption(outcome, has_tips=len(candidates) <= pictures.MAX_TIPS)
    page.figures((pictures.front_picture(outcome, candidates, front), caption))
    _finalists(page, outcome)
    _layers(page, outcome)
    _search(page, outcome, candidates, front)
    _scenarios(page, outcome)
    _files(page, outcome)
    return page


def _how(outcome: Outcome) -> str:
    return (
        f"objectives: {', '.join(outcome.objectives)}; asked for: {constraints_text(outcome)}; "
        f"algorithm {outcome.algorithm}; predictor {outcome.predictor}; seed {outcome.seed}; "
        f"{outcome.seconds:,.0f} s in all"
    )


def _facts(outcome: Outcome) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    best = outcome.best
    if best is not None:
        gain, change = best.speedup, change_text(best)
        interval = "" if gain.low is None else f", 95 % interval {gain.low:.2f} to {gain.high:.2f}"
        facts.append((f"{gain.value:.2f}x", f"speed-up of {best.name}, measured{interval}"))
        if change:
            facts.append((f"{change} points", "its INT8 test accuracy against the baseline's"))
    errors = [abs(one.error) for one in outcome.finalists]
    facts.append((f"{sum(errors) / len(errors):.1%}", "mean error of predicted latency"))
    judged = [one.is_inside for one in outcome.finalists if one.is_inside is not None]
    if judged:
        facts.append((f"{sum(judged)} of {len(judged)}", f"finalists inside their {LEVEL:.0%} interval"))
    facts.append((f"{outcome.n_accuracy_measured:,}", "architectures really evaluated"))
    facts.append((f"{outcome.n_latency_predicted:,}", "latencies predicted"))
    return facts


def _front_caption(outcome: Outcome, *, has_tips: bool) -> str:
    marks = "any mark" if has_tips else "any but the grey marks"
    bars = f"Hover over {marks}. "
    if Places(outcome, ()).is_latency:
        bars += (
            f"Bars: the predictor's {LEVEL:.0%} interval (blue), the 95 % intervals of the measurement "
            "(orange). Latencies are at the machine's speed when it was profiled."
        )
    else:
        bars += "Bars: the 95 % intervals of accuracy. Sizes are predicted, and those of the built networks."
    if outcome.is_accuracy:
        bars += (
            " Predicted marks stand at the validation top-1, measured ones at that of the INT8 model on the "
            "test split."
        )
    return bars


def _finalists(page: Page, outcome: Outcome) -> None:
    page.heading("Finalists")
    tested = "" if outcome.n_test is None else f" of {outcome.n_test:,} images"
    text = (
        "Latency and throughput are measured end to end, in interleaved rounds beside the INT8 pre-trained "
        "model; the numbers below a speed-up end its 95 % interval over compiled copies and rounds, and it "
        f"is green where that excludes 1. Accuracy is that of the INT8 model on the test split{tested}, ± "
        "its standard error, and below it the points against the baseline, whose own error is smaller, for "
        "both judge the same images. The search chose the finalists by other images; which of them is the "
        f"best is said by these. P{outcome.speed_text[1:]}."
    )
    page.text(text)
    columns = [
        "network", "million MACs", "INT8 top-1", "predicted ms", "measured ms", "speed-up", "samples/s",
        "over FP32", "asked for",
    ]  # fmt: skip
    page.table(columns, [_baseline_row(outcome), *(_row(outcome, one) for one in outcome.finalists)])
    page.figures(
        (
            pictures.speedup_bars(outcome),
            "Work saved is not time saved: fewer MACs beside what was measured, with 95 % intervals.",
        ),
        (
            pictures.prediction_errors(outcome),
            f"Blue: the prediction and its {LEVEL:.0%} interval (a cross: measured outside); orange: "
            "the measurement's own 95 % interval.",
        ),
    )


def _baseline_row(outcome: Outcome) -> list[str | Cell]:
    base = outcome.baseline
    return [
        Cell(base.name, note=_size(base)),
        _macs(base),
        Cell(top1_text(base.top1_int8, base.top1_int8_se), note=_fp32(base)),
        "",
        f"{base.latency_us / 1e3:.3f}",
        "1.00x",
        f"{base.throughput_sps:,.0f}",
        f"{outcome.baseline_fp32_us / base.latency_us:.2f}x",
        "",
    ]


def _row(outcome: Outcome, one: Finalist) -> list[str | Cell]:
    points = f"{change}, " if (change := change_text(one)) else ""
    wide = one.throughput_speedup
    return [
        Cell(one.name, note=_size(one)),
        _macs(one),
        Cell(top1_text(one.top1_int8, one.top1_int8_se), note=f"{points}{_fp32(one)}"),
        Cell(f"{one.predicted_now_us / 1e3:.3f}", note=_interval(one)),
        Cell(f"{one.latency_us / 1e3:.3f}", note=_inside(one), tone="bad" if one.is_inside is False else ""),
        _ratio_cell(one.speedup),
        Cell(f"{one.throughput_sps:,.0f}", note=f"{_ends(wide)}x", tone=_tone(wide)),
        _ratio_cell(one.speedup_fp32),
        _asked(outcome, one),
    ]


def _ratio_cell(ratio: Ratio) -> Cell:
    return Cell(f"{ratio.value:.2f}x", note=_ends(ratio), tone=_tone(ratio))


def _ends(ratio: Ratio) -> str:
    return f"{ratio.low:.2f} to {ratio.high:.2f}"


def _tone(ratio: Ratio) -> Tone:
    return "good" if ratio.excludes_one else ""


def _size(one: Network) -> str:
    return f"{one.model_bytes / 1e6:.2f} MB"


def _macs(one: Network) -> Cell:
    return Cell(f"{one.macs / 1e6:.1f}", note=f"{one.n_parameters / 1e6:.2f} M weights")


def _fp32(one: Network) -> str:
    return "" if one.top1_fp32 is None else f"FP32 {one.top1_fp32:.2%}"


def _interval(one: Finalist) -> str:
    if one.interval_now_us is None:
        return "no interval"
    low, high = one.interval_now_us
    return f"{low / 1e3:.3f} to {high / 1e3:.3f}"


def _inside(one: Finalist) -> str:
    where = "" if one.is_inside is None else ", inside" if one.is_inside else ", outside"
    return f"predicted {one.error:+.1%}{where}"


def _asked(outcome: Outcome, one: Finalist) -> str | Cell:
    if one.violations:
        return Cell("broken", note="; ".join(one.violations), tone="bad")
    faster = "faster" if one.is_faster else "not faster beyond the noise"
    return Cell("kept" if outcome.constraints else "", note=faster)


def _layers(page: Page, outcome: Outcome) -> None:
    """Which layers saved the time, and the networks drawn."""
    baseline, *others = outcome.layers
    is_timed = any(kernel.latency_us is not None for kernel in baseline)
    if is_timed:
        shown = outcome.best or outcome.finalists[0]
        page.heading(f"Where {shown.name} saves its time")
        rows = layer_pictures.savings(baseline, others[outcome.finalists.index(shown)])
        page.text(_biggest(rows))
        page.figures(
            (
                layer_pictures.saving_picture(rows, shown.name),
                "Kernels in the network's order, as they are predicted; hover for channels and MACs.",
            )
        )
        for one, kernels in zip(outcome.finalists, others, strict=True):
            rows = layer_pictures.savings(baseline, kernels)
            saved = sum(row.us for row in rows)
            columns = ("layer", "kernel", "channels", "baseline us", f"{one.name} us", "saved us", "of all")
            page.details(f"{one.name}, kernel by kernel: {saved:,.0f} us saved", columns, _kernel_rows(rows))
    page.heading("The networks")
    page.figures(
        (
            layer_pictures.architecture_picture(outcome),
            "Output channels of every layer with weights (a square-root scale), under the outline of the "
            "pre-trained model; hatched: dropped with its block.",
        )
    )


def _biggest(rows: Sequence[layer_pictures.Saving]) -> str:
    total = sum(row.us for row in rows)
    ranked = sorted(rows, key=lambda row: -row.us)[:3]
    most = ", ".join(f"{row.before.layer} ({row.us / total:.0%})" for row in ranked) if total > 0 else "none"
    dropped = sum(row.us for row in rows if row.after is None)
    share = f" Dropped blocks save {dropped / total:.0%} of it." if dropped and total > 0 else ""
    return f"{total:,.1f} us are saved as predicted, most of it by {most}.{share}"


def _kernel_rows(rows: Sequence[layer_pictures.Saving]) -> list[list[str | Cell]]:
    total = sum(row.us for row in rows)
    most = max((abs(row.us) for row in rows), default=0.0)
    table: list[list[str | Cell]] = []
    for row in rows:
        before, after = row.before, row.after
        narrower = f"{before.in_channels} → {before.out_channels}"
        now = "dropped" if after is None else f"{after.in_channels} → {after.out_channels}"
        table.append(
            [
                before.layer,
                before.kernel,
                Cell(now, note="" if now == narrower else f"of {narrower}"),
                f"{before.latency_us or 0.0:.1f}",
                f"{(after.latency_us or 0.0) if after else 0.0:.1f}",
                Cell(f"{row.us:.1f}", share=max(0.0, row.us) / most if most else 0.0),
                f"{row.us / total:.1%}" if total else "",
            ]
        )
    return table


def _search(
    page: Page, outcome: Outcome, candidates: Sequence[Candidate], front: Sequence[Candidate]
) -> None:
    page.heading("The search")
    overview = pictures.overview_picture(outcome, candidates, front)
    parts = [(overview, f"All {len(candidates):,} architectures evaluated; finalists are ringed.")]
    if len(outcome.history) > 1:
        parts.append((pictures.hypervolume_picture(outcome), _growth(outcome)))
    page.figures(*parts)


def _growth(outcome: Outcome) -> str:
    last = outcome.history[-1].hypervolume
    reached = next(p.evaluations for p in outcome.history if p.hypervolume >= 0.99 * last)
    point = "; ".join(f"{name} {_short(value)}" for name, value in outcome.reference_point.items())
    against = f" Reference point: {point}."
    if not last:
        return f"Nothing evaluated keeps to what was asked for and lies in the box.{against}"
    return f"99 % of the last hypervolume was reached after {reached:,} evaluations.{against}"


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(one)}" for name, one in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _scenarios(page: Page, outcome: Outcome) -> None:
    if not outcome.scenarios:
        return
    page.heading("MLPerf LoadGen")
    if any(one.is_quick for one in outcome.scenarios):
        page.text(
            "Quick runs are shorter than the rules ask for: their figures are no valid results.", quiet=True
        )
    rows: list[list[str | Cell]] = []
    for one in outcome.scenarios:
        verdict = Cell("VALID", tone="good") if one.is_valid else Cell(f"INVALID: {one.why}", tone="bad")
        figure = "" if one.value is None else f"{figure_text(one.value)} {one.metric}"
        rows.append([one.network, one.scenario, figure, verdict, "quick" if one.is_quick else "full"])
    page.table(("network", "scenario", "result", "LoadGen says", "run"), rows)


def _files(page: Page, outcome: Outcome) -> None:
    page.heading("Files")
    rows: list[list[str | Cell]] = []
    for one in (outcome.baseline, *outcome.finalists):
        folder = str(Path(next(iter(one.files.values()), "")).parent)
        names = ", ".join(Path(path).name for path in one.files.values())
        rows.append([one.name, Cell(one.architecture, note=f"{folder}: {names}")])
    page.details("All networks and their files", ("network", "architecture and files"), rows)
    samples = f"{outcome.calibration_samples:,} calibration samples"
    if outcome.batchnorm_samples is not None:
        samples += f" and {outcome.batchnorm_samples:,} samples for BatchNorm"
    page.text(f"Quantised with {samples}; {describe_target(outcome.target)}.")
    page.text(f"Again: {outcome.command}", quiet=True)
