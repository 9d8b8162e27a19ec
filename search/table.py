"""The finalists in a terminal: a table, and what was found in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search.outcome import Finalist, Network, Outcome, Ratio

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["COLUMNS", "NOT_MEASURED", "figure_text", "print_summary", "rows_of", "verdict_of"]

NOT_MEASURED = "accuracy not measured"
COLUMNS = (
    "network", "million MACs", "INT8 top-1 %", "predicted ms", "interval", "measured ms", "error",
    "samples/s", "speed-up", "95 %",
)  # fmt: skip
# By constraint: how it reads, and what its figure is divided by.
_NAMES = {
    "max_accuracy_drop": ("max_accuracy_drop {:g} point(s)", 1.0),
    "max_latency_us": ("max_latency {:g} us", 1.0),
    "min_speedup": ("min_speedup {:g}x", 1.0),
    "max_macs": ("max_macs {:g} million", 1e6),
    "max_size_bytes": ("max_size {:g} MB", 1e6),
}


def rows_of(outcome: Outcome) -> list[list[str]]:
    """The finalists' table, the baseline first."""
    base = outcome.baseline
    rows = [[*_head(base), "", "", _ms(base.latency_us), "", f"{base.throughput_sps:,.0f}", "1.00x", ""]]
    for one in outcome.finalists:
        gain = one.speedup
        rows.append(
            [*_head(one), _ms(one.predicted_now_us), _interval(one), _ms(one.latency_us), f"{one.error:+.1%}",
             f"{one.throughput_sps:,.0f}", f"{gain.value:.2f}x", _ends(gain)]
        )  # fmt: skip
    return rows


def print_summary(value: dict[str, Any], out: Console) -> None:
    """Prints the table, the machine's speed, LoadGen's verdicts and the sentence."""
    from supernet import cli

    outcome = Outcome.of(value)
    cli.print_table(out, f"finalists of {outcome.study}, measured", COLUMNS, rows_of(outcome))
    outside = [one.name for one in outcome.finalists if one.is_inside is False]
    if outside:
        out.print(f"measured outside of the predicted interval: {', '.join(outside)}", soft_wrap=True)
    out.print(outcome.speed_text, soft_wrap=True)
    slow = [one.name for one in outcome.finalists if not one.is_faster]
    if slow:
        out.print(f"not faster than the baseline beyond the noise: {', '.join(slow)}", soft_wrap=True)
    for one in outcome.finalists:
        for violation in one.violations:
            out.print(f"{one.name} breaks {violation}", soft_wrap=True)
    for run in outcome.scenarios:
        figure = "no figure" if run.value is None else f"{figure_text(run.value)} {run.metric}"
        quick = ", a quick run" if run.is_quick else ""
        word = "VALID" if run.is_valid else f"INVALID ({run.why})"
        out.print(f"LoadGen, {run.network}, {run.scenario}: {figure}, {word}{quick}", soft_wrap=True)
    if not outcome.is_accuracy:
        stand_in = "; MACs stood in for it" if "accuracy" in outcome.objectives else ""
        out.print(f"{NOT_MEASURED}: the study has no data{stand_in}", soft_wrap=True)
    out.print(verdict_of(outcome), soft_wrap=True)


def verdict_of(outcome: Outcome) -> str:
    """What was found, in one sentence. "Faster" is said only where the interval excludes 1."""
    asked = constraints_text(outcome)
    best = outcome.best
    if best is None:
        return f"no finalist keeps, measured, to {asked}"
    change = change_text(best)
    figure = f"{best.name}, {ratio_text(best.speedup)}" + (f" at {change} points" if change else "")
    within = f" within {asked}" if outcome.constraints else ""
    if not best.is_faster:
        return f"no finalist{within} is faster than the INT8 baseline beyond the noise; the nearest: {figure}"
    told = f"fastest{within}: {figure}" + (" of INT8 test accuracy" if change else "")
    if not best.speedup_fp32.excludes_one:
        told += f"; but not faster than the FP32 pre-trained model: {ratio_text(best.speedup_fp32)}"
    return told


def constraints_text(outcome: Outcome) -> str:
    """What was asked for, in words."""
    known = ((_NAMES.get(name, (f"{name} {{:g}}", 1.0)), v) for name, v in outcome.constraints.items())
    return " and ".join(text.format(v / unit) for (text, unit), v in known) or "no constraint"


def change_text(one: Finalist) -> str:
    """INT8 test accuracy against the baseline's, in points, with its standard error; empty without data."""
    if one.top1_change is None:
        return ""
    return f"{100 * one.top1_change:+.2f} ± {100 * (one.top1_change_se or 0.0):.2f}"


def ratio_text(ratio: Ratio) -> str:
    """The ratio with its interval, where there is one."""
    if ratio.low is None or ratio.high is None:
        return f"{ratio.value:.2f}x"
    return f"{ratio.value:.2f}x ({ratio.low:.2f} to {ratio.high:.2f})"


def figure_text(value: float) -> str:
    """A rate or a time with four figures at least."""
    return f"{value:,.1f}" if value >= 1000 else f"{value:.4g}"


def top1_text(value: float | None, error: float | None = None) -> str:
    """An accuracy with its standard error, where it is known."""
    if value is None:
        return NOT_MEASURED
    return f"{value:.2%}" if error is None else f"{value:.2%} ± {100 * error:.2f}"


def _head(one: Network) -> list[str]:
    error = "" if one.top1_int8_se is None else f"±{100 * one.top1_int8_se:.2f}"
    top1 = "-" if one.top1_int8 is None else f"{100 * one.top1_int8:.2f}{error}"
    return [one.name.removeprefix("INT8 "), f"{one.macs / 1e6:.1f}", top1]


def _ms(us: float) -> str:
    return f"{us / 1e3:.3f}"


def _interval(one: Finalist) -> str:
    """As the farther end's distance from the prediction."""
    if one.interval_us is None:
        return "none"
    low, high = one.interval_us
    return f"±{max(1 - low / one.predicted_us, high / one.predicted_us - 1):.1%}"


def _ends(ratio: Ratio) -> str:
    if ratio.low is None or ratio.high is None:
        return ""
    digits = 2 if ratio.high < 10 else 1
    return f"{ratio.low:.{digits}f}-{ratio.high:.{digits}f}"
