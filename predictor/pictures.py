"""The report's pictures, drawn from evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from predictor.conformal import LEVEL
from predictor.evaluation import Evaluation
from predictor.judgement import Judgement, deciles
from predictor.learning_curve import Point
from predictor.regret import front_of
from supernet.page import BLUE, GREY, INK, ORANGE, new_figure, tip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "chosen_front",
    "coverage_by_latency",
    "error_distribution",
    "error_histogram",
    "error_over_latency",
    "importance_bars",
    "kernel_errors",
    "learning_curves",
    "predicted_against_measured",
]

# The rest of Okabe & Ito's palette.
_COLOURS = {"xgb": BLUE, "macs": ORANGE, "lookup": "#009e73", "ridge": "#cc79a7", "forest": "#e69f00"}
_PALE = "#cfe3f1"


def predicted_against_measured(evaluations: Sequence[Evaluation], names: Sequence[str]) -> Figure:
    """A point a test network; `names` are the architectures, shown on hover. The first evaluation lies
    on top."""
    figure = new_figure()
    axes = figure.subplots()
    every = np.concatenate([e.measured for e in evaluations]) / 1e3
    ends = [every.min() * 0.95, every.max() * 1.05]
    axes.plot(ends, ends, color=GREY, linewidth=1)
    for order, evaluation in enumerate(evaluations):
        pairs = zip(evaluation.measured / 1e3, evaluation.predicted / 1e3, names, strict=True)
        for i, (x, y, name) in enumerate(pairs):
            (mark,) = axes.plot(
                x, y, "o", color=_colour(evaluation), markersize=3 if order else 5,
                alpha=0.5 if order else 0.8, label=None if i else evaluation.name, zorder=4 if order else 5,
            )  # fmt: skip
            mark.set_gid(tip(f"{name}\nmeasured {x:.3f} ms, {evaluation.name} {y:.3f} ms ({y / x - 1:+.1%})"))
    axes.set(xlabel="measured latency, ms", ylabel="predicted latency, ms")
    axes.legend(loc="upper left")
    return figure


def error_over_latency(evaluation: Evaluation, names: Sequence[str], floor: float | None) -> Figure:
    """The signed error of each test network, with the interval and the measurement's noise around none."""
    figure = new_figure()
    axes = figure.subplots()
    order = np.argsort(evaluation.measured)
    x, error = evaluation.measured / 1e3, 100 * evaluation.error
    # The measurement lies in [low, high] where the error lies between these.
    below = 100 * (evaluation.predicted / evaluation.high - 1)
    above = 100 * (evaluation.predicted / evaluation.low - 1)
    if np.isfinite(above).all():
        band = axes.fill_between(x[order], below[order], above[order], color=_PALE, linewidth=0, alpha=0.7)
        band.set_label(f"{LEVEL:.0%} interval")
    axes.axhline(0, color=GREY, linewidth=1)
    if floor is not None:
        for sign in (-1, 1):
            axes.axhline(
                sign * 100 * floor, color=GREY, linestyle="--", linewidth=1,
                label=None if sign < 0 else "floor: the noise of the measurement",
            )  # fmt: skip
    for place, name in enumerate(names):
        (mark,) = axes.plot(x[place], error[place], "o", color=_colour(evaluation), markersize=5, alpha=0.8)
        mark.set_gid(tip(f"{name}\n{x[place]:.3f} ms, {error[place]:+.2f} %"))
    axes.set(xlabel="measured latency, ms", ylabel=f"error of {evaluation.name}, %")
    _legend_above(axes)
    return figure


def error_distribution(evaluations: Sequence[Evaluation], floor: float | None) -> Figure:
    """The share of test networks within an error, for each predictor."""
    figure = new_figure()
    axes = figure.subplots()
    for order, evaluation in enumerate(evaluations):
        error = np.sort(np.abs(evaluation.error)) * 100
        share = np.arange(1, len(error) + 1) / len(error) * 100
        axes.step(
            np.r_[0, error], np.r_[0, share], where="post", color=_colour(evaluation),
            linewidth=1.2 if order else 2.2, label=evaluation.name, zorder=3 if order else 4,
        )  # fmt: skip
    if floor is not None:
        axes.axvline(floor * 100, color=GREY, linestyle="--", linewidth=1)
        axes.annotate(
            " floor: the noise of\n the measurement itself",
            (floor * 100, 98),
            color="#5f6368",
            fontsize=8,
            va="top",
        )
    axes.set(xlabel="error of the predicted latency, %", ylabel="test networks within it, %", ylim=(0, 102))
    # One hopeless baseline must not squeeze the others into a corner.
    reach = sorted(float(np.quantile(np.abs(e.error), 0.95)) for e in evaluations[1:])
    first = float(np.abs(evaluations[0].error).max())
    axes.set_xlim(0, 105 * max([first, *reach[: max(1, len(reach) - 1)]]) or 1)
    axes.legend(loc="lower right")
    return figure


def error_histogram(evaluation: Evaluation) -> Figure:
    """How often each signed error comes."""
    figure = new_figure()
    axes = figure.subplots()
    error = 100 * evaluation.error
    reach = max(float(np.abs(error).max()), 1e-9)
    axes.hist(error, bins=np.linspace(-reach, reach, 26).tolist(), color=BLUE, edgecolor="white")
    axes.axvline(0, color=INK, linewidth=1)
    axes.axvline(float(error.mean()), color=ORANGE, linewidth=1.5, label=f"mean {error.mean():+.2f} %")
    axes.set(xlabel=f"error of {evaluation.name}, % (right: predicted too slow)", ylabel="test networks")
    axes.legend(loc="upper right")
    return figure


def coverage_by_latency(judgement: Judgement) -> Figure:
    """Per tenth of the test networks: the share that the interval holds, and its width."""
    figure = new_figure(10, 3.4)
    left, right = figure.subplots(1, 2)
    groups = deciles(judgement.evaluation)
    labels = [f"{d.low_us / 1e3:.3g}-{d.high_us / 1e3:.3g}" for d in groups]
    left.bar(labels, [100 * d.coverage for d in groups], color=BLUE)
    left.axhline(100 * LEVEL, color=ORANGE, linestyle="--", linewidth=1.5, label=f"wanted: {LEVEL:.0%}")
    left.set(ylabel="held by the interval, %", ylim=(0, 105))
    left.legend(loc="lower left", facecolor="white", frameon=True)
    right.bar(labels, [100 * d.width if np.isfinite(d.width) else 0 for d in groups], color=GREY)
    right.set(ylabel="median width, %")
    for axes in (left, right):
        axes.set_xlabel("measured latency, ms")
        axes.tick_params(axis="x", labelrotation=35, labelsize=8)
        axes.grid(axis="x", visible=False)
    return figure


def learning_curves(points: Sequence[Point], floor: float | None) -> Figure:
    """Mean error against networks learned from: a line through the mean of the draws, each draw a dot."""
    figure = new_figure(10, 4)
    axes = figure.subplots()
    for name in dict.fromkeys(p.name for p in points):
        own = [p for p in points if p.name == name]
        sizes = sorted({p.n for p in own})
        means = [100 * np.mean([p.mape for p in own if p.n == n]) for n in sizes]
        colour = _COLOURS.get(name, INK)
        axes.plot(sizes, means, color=colour, linewidth=2.2 if name == points[0].name else 1.2, label=name)
        axes.plot([p.n for p in own], [100 * p.mape for p in own], "o", color=colour, markersize=3, alpha=0.6)
    if floor is not None:
        axes.axhline(
            100 * floor, color=GREY, linestyle="--", linewidth=1, label="floor: noise of the measurement"
        )
    axes.set(xscale="log", yscale="log", xlabel="networks learned from", ylabel="mean error, %")
    sizes = sorted({p.n for p in points})
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.minorticks_off()
    low, high = axes.get_ylim()
    ticks = [v for v in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= v <= high]
    axes.set_yticks(ticks, [f"{v:g}" for v in ticks])
    axes.legend(loc="upper right")
    return figure


def chosen_front(
    judgement: Judgement, quality: NDArray[np.float64], names: Sequence[str], label: str
) -> Figure:
    """The measured front, and the networks that are chosen by prediction, at their measured latencies."""
    assert judgement.regret is not None
    known = np.flatnonzero(np.isfinite(quality))
    own = judgement.evaluation
    latency, quality = own.measured[known] / 1e3, quality[known]
    figure = new_figure(10, 4.4)
    axes = figure.subplots()
    axes.plot(latency, quality, "o", color=GREY, markersize=4, alpha=0.5, label="measured networks")
    best = front_of(latency, quality)
    axes.step(latency[best], quality[best], where="post", color=INK, linewidth=1.2, label="measured front")
    worst: dict[int, float] = {}
    for place, regret in zip(judgement.regret.chosen.tolist(), judgement.regret.regret, strict=True):
        worst[place] = max(worst.get(place, 0.0), float(regret))
    for i, (place, regret) in enumerate(worst.items()):
        (mark,) = axes.plot(
            latency[place], quality[place], "o", color=BLUE if regret == 0 else ORANGE, markersize=6,
            label=None if i else f"chosen by {own.name} (orange: slower than needed)",
        )  # fmt: skip
        mark.set_gid(tip(f"{names[known[place]]}\n{latency[place]:.3f} ms, {regret:.2%} slower than needed"))
    axes.set(xlabel="measured latency, ms", ylabel=label)
    axes.legend(loc="lower right")
    return figure


def kernel_errors(evaluation: Evaluation) -> Figure:
    """Each kernel kind's share of the time, and its mean error weighted by time."""
    kinds = np.array(evaluation.kernel_kinds)
    time = evaluation.kernel_measured
    names = sorted(set(evaluation.kernel_kinds), key=lambda kind: -time[kinds == kind].sum())
    share = [time[kinds == kind].sum() / time.sum() * 100 for kind in names]
    error = [
        np.abs(evaluation.kernel_predicted - time)[kinds == kind].sum() / time[kinds == kind].sum() * 100
        for kind in names
    ]
    figure = new_figure()
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, values, label in ((left, share, "share of the time, %"), (right, error, "mean error, %")):
        bars = axes.barh(names, values, color=BLUE)
        axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=9)
        axes.set_xlabel(label)
        axes.margins(x=0.2)
        axes.grid(axis="y", visible=False)
    left.invert_yaxis()
    return figure


def importance_bars(importance: dict[str, float], n: int = 12) -> Figure:
    """The features that decide most."""
    figure = new_figure()
    axes = figure.subplots()
    top = list(importance.items())[:n]
    bars = axes.barh([name for name, _ in top], [100 * value for _, value in top], color=BLUE)
    axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("share of the gain, %")
    axes.grid(axis="y", visible=False)
    return figure


def _colour(evaluation: Evaluation) -> str:
    return _COLOURS.get(evaluation.name, INK)


def _legend_above(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=9)
