"""The search report's pictures of networks: the front, its growth, speed and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from search.outcome import Finalist, Outcome, Ratio
from search.places import LOG_FROM, Z95, Places
from search.problem import Candidate
from search.settings import MEASURE
from search.table import ratio_text, top1_text
from supernet.page import BLUE, GREY, INK, ORANGE, new_figure, tip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["front_picture", "hypervolume_picture", "overview_picture", "prediction_errors", "speedup_bars"]

MAX_TIPS = 2_500


def front_picture(outcome: Outcome, candidates: Sequence[Candidate], front: Sequence[Candidate]) -> Figure:
    """The front where the finalists lie: predicted and measured, with their intervals, and the baseline."""
    figure = new_figure(10.5, 5.6)
    axes = figure.subplots()
    places = Places(outcome, candidates)
    x, y = places.limits()
    axes.set(xlim=x, ylim=y)
    inside = [c for c in candidates if x[0] <= places.cost(c) <= x[1] and y[0] <= places.quality(c) <= y[1]]
    _cloud(axes, places, inside, front)
    for finalist in outcome.finalists:
        _pair(axes, places, finalist)
    _baseline(axes, places)
    _finish(axes, places, x)
    axes.legend(handles=_legend(outcome), loc="lower right", fontsize=9)
    return figure


def overview_picture(outcome: Outcome, candidates: Sequence[Candidate], front: Sequence[Candidate]) -> Figure:
    """Every architecture that was evaluated."""
    figure = new_figure(6.4, 4.4)
    axes = figure.subplots()
    places = Places(outcome, candidates)
    _cloud(axes, places, candidates, front)
    own = {one.architecture for one in outcome.finalists}
    for candidate in candidates:
        if str(candidate.architecture) in own:
            axes.plot(
                places.cost(candidate), places.quality(candidate), "o", markersize=7, color="none",
                markeredgecolor=ORANGE, markeredgewidth=1.5, zorder=4,
            )  # fmt: skip
    _baseline(axes, places)
    costs = [places.cost(c) for c in candidates] or [places.baseline[0]]
    _finish(axes, places, (min(costs), max(costs)))
    return figure


def hypervolume_picture(outcome: Outcome) -> Figure:
    """How the front grew with the real evaluations."""
    figure = new_figure(6.4, 4.4)
    axes = figure.subplots()
    steps = outcome.history
    xs, ys = [p.evaluations for p in steps], [p.hypervolume for p in steps]
    axes.fill_between(xs, ys, min(ys), step="post", color=BLUE, alpha=0.10, linewidth=0)
    axes.step(xs, ys, where="post", color=BLUE, linewidth=1.6)
    for step in steps:
        (mark,) = axes.plot(step.evaluations, step.hypervolume, "o", color=BLUE, markersize=4)
        front = "" if step.n_front is None else f", {step.n_front} on the front"
        share = step.hypervolume / ys[-1] if ys[-1] else 0.0
        mark.set_gid(
            tip(f"{step.evaluations} evaluations: {step.hypervolume:.4f}, {share:.1%} of the last{front}")
        )
    axes.axhline(ys[-1], color=GREY, linewidth=0.8, linestyle=":")
    axes.set(xlabel="architectures really evaluated", ylabel="hypervolume of their front (normalised)")
    axes.margins(x=0.03, y=0.08)
    if not max(ys):
        axes.set_ylim(-0.05, 1)
    return figure


def speedup_bars(outcome: Outcome) -> Figure:
    """How much of the saved work became speed, with intervals."""
    finalists = outcome.finalists
    series = [("fewer MACs", GREY, [Ratio(outcome.baseline.macs / f.macs) for f in finalists])]
    series.append(("faster in latency", ORANGE, [f.speedup for f in finalists]))
    series.append(("faster in throughput", BLUE, [f.throughput_speedup for f in finalists]))
    figure = new_figure(6.4, 1.3 + 0.5 * len(finalists) + 0.15 * len(series))
    axes = figure.subplots()
    height = 0.8 / len(series)
    for order, (label, colour, ratios) in enumerate(series):
        for place, ratio in enumerate(ratios):
            at = place - 0.4 + height * (order + 0.5)
            (bar,) = axes.barh(
                at, ratio.value, 0.92 * height, color=colour, alpha=0.85, label=None if place else label
            )
            bar.set_gid(tip(f"{finalists[place].name}, {label}: {ratio_text(ratio)}"))
            _ends(axes, at, ratio)
            right = ratio.high if ratio.high is not None else ratio.value
            axes.annotate(
                f"{ratio.value:.2f}x", (right, at), xytext=(4, 0), textcoords="offset points", va="center",
                fontsize=7.5,
            )  # fmt: skip
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_yticks(range(len(finalists)), [f.name for f in finalists])
    axes.set_ylim(len(finalists) - 0.4, -0.6)
    axes.set_xlim(0, 1.14 * max(r.high or r.value for _, _, ratios in series for r in ratios))
    axes.set_xlabel("times, against the INT8 pre-trained model")
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper center", ncols=len(series), fontsize=9)
    return figure


def prediction_errors(outcome: Outcome) -> Figure:
    """Each predicted latency against what was measured: zero is a perfect prediction."""
    finalists = outcome.finalists
    figure = new_figure(6.4, 1.3 + 0.5 * len(finalists) + 0.3)
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1)
    for place, one in enumerate(finalists):
        then = one.measured_then_us
        if one.measured_then_interval_us is not None:
            low, high = (100 * (end / then - 1) for end in one.measured_then_interval_us)
            axes.plot([low, high], [place, place], color=ORANGE, alpha=0.35, linewidth=9, zorder=2)
        if one.interval_us is not None:
            low, high = (100 * (end / then - 1) for end in one.interval_us)
            axes.plot([low, high], [place, place], color=BLUE, linewidth=2, zorder=3)
            axes.plot([low, high], [place, place], "|", color=BLUE, markersize=9, zorder=3)
        style = "X" if one.is_inside is False else "o"
        (mark,) = axes.plot(100 * one.error, place, style, color=BLUE, markersize=8, zorder=4)
        mark.set_gid(tip(_finalist_text(outcome, one)))
        axes.annotate(
            f"{one.error:+.1%}", (100 * one.error, place), xytext=(0, 7), textcoords="offset points",
            ha="center", fontsize=7.5,
        )  # fmt: skip
    axes.set_yticks(range(len(finalists)), [f.name for f in finalists])
    axes.set_ylim(len(finalists) - 0.4, -0.6)
    ends = max(1.0, *(abs(end) for end in axes.get_xlim()))
    axes.set_xlim(-1.1 * ends, 1.1 * ends)
    axes.set_xlabel("predicted against measured latency, %")
    axes.grid(axis="y", visible=False)
    return figure


def _cloud(axes: Axes, places: Places, candidates: Sequence[Candidate], front: Sequence[Candidate]) -> None:
    """The evaluated architectures and the predicted front among them."""
    on_front = {c.architecture for c in front}
    others = [c for c in candidates if c.architecture not in on_front]
    if len(others) > MAX_TIPS:  # too many to point at: one image in the picture
        xs, ys = [places.cost(c) for c in others], [places.quality(c) for c in others]
        axes.plot(xs, ys, "o", color=GREY, markersize=3, alpha=0.5, rasterized=True)
    else:
        for candidate in others:
            _dot(axes, places, candidate, GREY, 0.7)
    steps = _staircase([(places.cost(c), places.quality(c)) for c in front])
    if len(steps) > 1:
        axes.step([x for x, _ in steps], [y for _, y in steps], where="post", color=BLUE, linewidth=1.2)
    for candidate in front:
        _dot(axes, places, candidate, BLUE, 1.0)


def _dot(axes: Axes, places: Places, candidate: Candidate, colour: str, alpha: float) -> None:
    (mark,) = axes.plot(
        places.cost(candidate), places.quality(candidate), "o", color=colour, markersize=4.5, alpha=alpha,
        markeredgecolor="white", markeredgewidth=0.5, zorder=3 if colour == BLUE else 2,
    )  # fmt: skip
    unit = " %" if places.outcome.is_accuracy else ""
    what = "validation top-1" if places.outcome.is_accuracy else "stand-in"
    how = "measured" if places.outcome.predictor == MEASURE else "predicted"
    mark.set_gid(
        tip(
            f"{candidate.architecture}\n{how} {candidate.latency_us / 1e3:.3f} ms, {what} "
            f"{places.quality(candidate):.2f}{unit}, {candidate.macs / 1e6:.1f} million MACs"
        )
    )


def _staircase(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other one beats in this picture's two dimensions; a front of three may have more."""
    best: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda p: (p[0], -p[1])):
        if not best or y > best[-1][1]:
            best.append((x, y))
    return best


def _pair(axes: Axes, places: Places, one: Finalist) -> None:
    """A finalist where it was predicted and where it was measured."""
    from matplotlib.patheffects import withStroke

    (px, py), (mx, my) = places.predicted(one), places.measured(one)
    text = tip(_finalist_text(places.outcome, one))
    if py is not None:
        if my is not None:
            axes.plot([px, mx], [py, my], color=GREY, linewidth=0.9, zorder=3)
        if one.interval_us is not None and places.is_latency:
            low, high = (end / 1e3 for end in one.interval_us)
            axes.plot([low, high], [py, py], color=BLUE, linewidth=1.6, zorder=4)
            axes.plot([low, high], [py, py], "|", color=BLUE, markersize=7, zorder=4)
        (mark,) = axes.plot(
            px, py, "o", markerfacecolor="white", markeredgecolor=BLUE, markeredgewidth=1.6, markersize=7,
            zorder=5,
        )  # fmt: skip
        mark.set_gid(text)
    if my is None:
        return
    if one.top1_int8_se is not None and places.outcome.is_accuracy:
        half = 100 * Z95 * one.top1_int8_se
        axes.plot(
            [mx, mx], [my - half, min(100, my + half)], color=ORANGE, linewidth=1.4, alpha=0.7, zorder=4
        )
    if one.measured_then_interval_us is not None and places.is_latency:
        ends = [end / 1e3 for end in one.measured_then_interval_us]
        axes.plot(ends, [my, my], color=ORANGE, linewidth=2.2, zorder=5)
    style = "o" if one.is_feasible else "X"
    (mark,) = axes.plot(
        mx, my, style, color=ORANGE, markersize=9, markeredgecolor="white", markeredgewidth=0.8, zorder=6
    )
    mark.set_gid(text)
    axes.annotate(
        one.name.split()[1], (mx, my), xytext=(6, -14), textcoords="offset points", fontsize=10,
        color=ORANGE, fontweight="bold", zorder=7,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )  # fmt: skip


def _baseline(axes: Axes, places: Places) -> None:
    x, y = places.baseline
    base = places.outcome.baseline
    if y is None:
        axes.axvline(x, color=INK, linewidth=1, linestyle="--")
        return
    if base.top1_int8_se is not None and places.outcome.is_accuracy:
        half = 100 * Z95 * base.top1_int8_se
        axes.plot([x, x], [y - half, min(100, y + half)], color=INK, linewidth=1.4, alpha=0.6, zorder=4)
    axes.axhline(y, color=INK, linewidth=0.8, linestyle=":", zorder=1)
    (mark,) = axes.plot(x, y, "D", color=INK, markersize=9, markeredgecolor="white", zorder=6)
    top1 = f", INT8 test top-1 {top1_text(base.top1_int8, base.top1_int8_se)}" if base.top1_int8 else ""
    mark.set_gid(tip(f"INT8 pre-trained model\nmeasured {base.latency_us / 1e3:.3f} ms{top1}"))


def _finish(axes: Axes, places: Places, x: tuple[float, float]) -> None:
    from matplotlib.ticker import LogLocator

    axes.set(xlabel=places.cost_label, ylabel=places.label)
    if x[1] / max(x[0], 1e-9) > LOG_FROM:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=20))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: "")


def _legend(outcome: Outcome) -> list[Line2D]:
    from matplotlib.lines import Line2D

    def entry(label: str, **look: Any) -> Line2D:
        return Line2D([], [], label=label, **look)

    marks = [
        entry("measured", color=ORANGE, marker="o", markersize=8),
        entry("predicted", color=BLUE, marker="o", markersize=7, markerfacecolor="white"),
        entry("predicted front", color=BLUE, marker="o", markersize=4, linewidth=1.2),
        entry("evaluated", color=GREY, marker="o", markersize=5, linestyle="none"),
        entry("INT8 pre-trained model", color=INK, marker="D", markersize=7, linestyle="none"),
    ]
    if not all(one.is_feasible for one in outcome.finalists):
        broken = entry("breaks a constraint", color=ORANGE, marker="X", markersize=8, linestyle="none")
        marks.insert(1, broken)
    return marks


def _finalist_text(outcome: Outcome, one: Finalist) -> str:
    interval = ""
    if one.interval_us is not None:
        low, high = one.interval_us
        inside = "" if one.is_inside is None else ", inside" if one.is_inside else ", OUTSIDE"
        interval = f" ({low / 1e3:.3f} to {high / 1e3:.3f}{inside})"
    lines = [
        f"{one.name}: {one.architecture}",
        f"predicted {one.predicted_us / 1e3:.3f} ms{interval}",
        f"measured {one.measured_then_us / 1e3:.3f} ms at that speed ({one.error:+.1%} off)",
        f"speed-up {ratio_text(one.speedup)}",
    ]
    if outcome.is_accuracy:
        lines.append(f"INT8 test top-1 {top1_text(one.top1_int8, one.top1_int8_se)}")
    return "\n".join([*lines, *one.violations])


def _ends(axes: Axes, at: float, ratio: Ratio) -> None:
    if ratio.low is not None and ratio.high is not None:
        axes.plot([ratio.low, ratio.high], [at, at], color=INK, linewidth=1.2)
        axes.plot([ratio.low, ratio.high], [at, at], "|", color=INK, markersize=5)
