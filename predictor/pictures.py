"""The report's pictures, drawn from evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from predictor.evaluation import Evaluation
from supernet.page import BLUE, GREY, INK, ORANGE, new_figure, tip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["error_distribution", "importance_bars", "kernel_errors", "predicted_against_measured"]

_COLOURS = {"xgb": BLUE, "macs": ORANGE}


def predicted_against_measured(evaluations: Sequence[Evaluation], names: Sequence[str]) -> Figure:
    """A point a test network; `names` are the architectures, shown on hover."""
    figure = new_figure()
    axes = figure.subplots()
    every = np.concatenate([e.measured for e in evaluations]) / 1e3
    ends = [every.min() * 0.95, every.max() * 1.05]
    axes.plot(ends, ends, color=GREY, linewidth=1)
    for evaluation in evaluations:
        colour = _COLOURS.get(evaluation.name, INK)
        pairs = zip(evaluation.measured / 1e3, evaluation.predicted / 1e3, names, strict=True)
        for i, (x, y, name) in enumerate(pairs):
            label = evaluation.name if i == 0 else None
            (mark,) = axes.plot(x, y, "o", color=colour, markersize=5, alpha=0.75, label=label)
            mark.set_gid(tip(f"{name}\nmeasured {x:.3f} ms, {evaluation.name} {y:.3f} ms ({y / x - 1:+.1%})"))
    axes.set(xlabel="measured latency, ms", ylabel="predicted latency, ms")
    axes.legend(loc="upper left")
    return figure


def error_distribution(evaluations: Sequence[Evaluation], ceiling: float | None) -> Figure:
    """The share of test networks within an error, for each predictor."""
    figure = new_figure()
    axes = figure.subplots()
    for evaluation in evaluations:
        error = np.sort(np.abs(evaluation.predicted / evaluation.measured - 1)) * 100
        share = np.arange(1, len(error) + 1) / len(error) * 100
        colour = _COLOURS.get(evaluation.name, INK)
        axes.step(np.r_[0, error], np.r_[0, share], where="post", color=colour, label=evaluation.name)
    if ceiling is not None:
        axes.axvline(ceiling * 100, color=GREY, linestyle="--", linewidth=1)
        axes.annotate(
            " ceiling: the measurement\n itself repeats to this",
            (ceiling * 100, 3),
            color="#5f6368",
            fontsize=8,
        )
    axes.set(xlabel="error of the predicted latency, %", ylabel="test networks within it, %", ylim=(0, 102))
    axes.set_xlim(left=0)
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
