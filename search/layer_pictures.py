"""The search report's pictures of layers: what saved the time, and how wide the networks are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from search.outcome import LayerTime, Outcome
from search.table import ratio_text
from supernet.page import BLUE, GREY, INK, ORANGE, new_figure, scale_on_top, tip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Saving", "architecture_picture", "saving_picture", "savings"]

ROW_INCHES = 0.21
PALE = "#dadce0"
QUIET = "#5f6368"


class Saving:
    """A kernel of the baseline beside the finalist's, which is None where its block was dropped."""

    def __init__(self, before: LayerTime, after: LayerTime | None) -> None:
        self.before, self.after = before, after

    @property
    def us(self) -> float:
        """Predicted time saved, in microseconds."""
        return (self.before.latency_us or 0.0) - (0.0 if self.after is None else self.after.latency_us or 0.0)

    @property
    def text(self) -> str:
        """The two kernels in a few lines."""
        one = self.before
        lines = [f"{one.layer}: {one.kernel}"]
        for name, kernel in (("baseline", one), ("finalist", self.after)):
            if kernel is None:
                lines.append(f"{name}: dropped with its block")
                continue
            time = "" if kernel.latency_us is None else f"{kernel.latency_us:.1f} us, "
            lines.append(
                f"{name}: {time}{kernel.in_channels} → {kernel.out_channels} channels, "
                f"{kernel.macs / 1e6:.2f} million MACs"
            )
        return "\n".join(lines)


def savings(baseline: Sequence[LayerTime], finalist: Sequence[LayerTime]) -> list[Saving]:
    """The baseline's kernels in the network's order, each with the finalist's of the same place."""
    own = {kernel.index: kernel for kernel in finalist}
    return [Saving(kernel, own.get(kernel.index)) for kernel in baseline]


def saving_picture(rows: Sequence[Saving], name: str) -> Figure:
    """Each kernel's predicted time in the baseline and in the finalist, and its share of what was saved."""
    figure = new_figure(10.5, 1.2 + ROW_INCHES * len(rows))
    time, share = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
    places = np.arange(len(rows))
    before = [row.before.latency_us or 0.0 for row in rows]
    after = [row.after.latency_us or 0.0 if row.after else 0.0 for row in rows]
    total = sum(row.us for row in rows)
    outer = time.barh(places, before, 0.8, color=PALE, label="INT8 baseline")
    time.barh(places, after, 0.44, color=BLUE, label=name)
    for bar, row in zip(outer, rows, strict=True):
        bar.set_gid(tip(row.text))
    longest = max(max(before), max(after), 1e-9)
    for place, row, most in zip(places, rows, np.maximum(before, after), strict=True):
        label = "dropped" if row.after is None else f"{_change(row):+.0%}" if row.before.latency_us else ""
        time.text(most + 0.008 * longest, place, label, va="center", fontsize=7, color=QUIET)
    time.set_yticks(places, [row.before.layer for row in rows], fontsize=7.5)
    time.set(xlabel="predicted time, us", xlim=(0, 1.1 * longest), ylim=(len(rows) - 0.4, -0.6))
    shares = [100 * row.us / total if total else 0.0 for row in rows]
    bars = share.barh(places, shares, 0.7, color=[ORANGE if s >= 0 else INK for s in shares])
    for bar, row in zip(bars, rows, strict=True):
        bar.set_gid(tip(f"{row.before.layer}: {row.us:+.1f} us of {total:.1f} us saved"))
    share.axvline(0, color=GREY, linewidth=0.8)
    share.set_xlabel("share of the time saved, %")
    for axes in (time, share):
        scale_on_top(axes)
    time.legend(loc="lower right", fontsize=9)
    return figure


def architecture_picture(outcome: Outcome) -> Figure:
    """A row a finalist: output channels of each layer with weights as bars, under the baseline's outline."""
    baseline, *finalists = ([k for k in network if k.macs] for network in outcome.layers)
    figure = new_figure(10.5, 1.5 + 1.05 * len(finalists))
    rows = figure.subplots(len(finalists), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, kernels, one in zip(rows, finalists, outcome.finalists, strict=True):
        _widths(axes, savings(baseline, kernels))
        axes.set_title(f"{one.name}: {ratio_text(one.speedup)}", fontsize=9, loc="left", pad=3)
    size = 7.5 if len(baseline) <= 40 else 6
    rows[-1].set_xticks(range(len(baseline)), [k.layer for k in baseline], rotation=90, fontsize=size)
    figure.supylabel("output channels", fontsize=9)
    return figure


def _widths(axes: Axes, rows: Sequence[Saving]) -> None:
    """Square roots, so that a network's narrow beginning can be seen beside its wide end."""
    outline = [row.before.out_channels for row in rows]
    for place, row in enumerate(rows):
        if row.after is None:
            (bar,) = axes.bar(
                place,
                row.before.out_channels,
                0.86,
                color="#fdeee6",
                hatch="////",
                edgecolor=ORANGE,
                linewidth=0,
            )
        else:
            axes.bar(place, row.before.out_channels, 0.86, color="#eef0f2")
            (bar,) = axes.bar(place, row.after.out_channels, 0.86, color=BLUE)
        bar.set_gid(tip(row.text))
    edges = np.arange(len(outline) + 1) - 0.5
    axes.stairs(outline, edges, color=INK, linewidth=0.9)
    axes.set_yscale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
    ticks = sorted({max(outline), max(outline) // 4})
    axes.set_yticks([0, *ticks])
    axes.set(xlim=(-0.7, len(outline) - 0.3), ylim=(0, 1.08 * max(outline)))
    axes.tick_params(axis="both", length=0, labelsize=7.5)
    axes.grid(axis="x", visible=False)


def _change(row: Saving) -> float:
    return -row.us / (row.before.latency_us or 1.0)
