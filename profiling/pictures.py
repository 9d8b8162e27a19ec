"""The pictures of one network's page, drawn from its portrait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from profiling.portrait import FAMILIES, KernelFigures, Portrait, RoundFigure
from supernet.page import BLUE, GREY, INK, ORANGE, new_figure, scale_on_top, tip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["layer_bars", "roofline", "stability"]

# Okabe & Ito 2008, as in supernet/page.py.
COLOURS = dict(zip(FAMILIES, (BLUE, "#56b4e9", "#009e73", "#cc79a7", "#e69f00", GREY), strict=True))
QUIET = "#5f6368"
ROW_INCHES = 0.2
MIN_POINT, MAX_POINT = 4.0, 15.0


def layer_bars(portrait: Portrait) -> Figure:
    """A bar a kernel, from the network's input downwards: its time, and beside it the share of the peak."""
    kernels = portrait.kernels
    figure = new_figure(11, 1.3 + ROW_INCHES * len(kernels))
    time, share = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
    places = np.arange(len(kernels))
    colours = [COLOURS[k.family] for k in kernels]
    time.barh(places, [k.time_us for k in kernels], color=colours, height=0.76)
    # Drawn after one another, bars and kernels are in the same order.
    for bar, kernel in zip(time.patches, kernels, strict=True):
        bar.set_gid(tip(_describe(kernel)))
    longest = max(k.time_us for k in kernels)
    for place, kernel in zip(places, kernels, strict=True):
        text = f"{kernel.time_us:,.1f} us  ·  {kernel.share:.1%}"
        time.text(kernel.time_us + 0.008 * longest, place, text, va="center", fontsize=7, color=QUIET)
    time.set_yticks(places, [k.layer for k in kernels], fontsize=7.5)
    time.set(xlabel="latency, us", xlim=(0, 1.2 * longest), ylim=(len(kernels) - 0.4, -0.6))
    shares = [100 * (k.peak_share or 0.0) for k in kernels]
    share.barh(places, shares, color=colours, height=0.76, alpha=0.75)
    for place, kernel in zip(places, kernels, strict=True):
        if kernel.peak_share is not None:
            at = 100 * kernel.peak_share
            share.text(at + 1.5, place, f"{at:.0f}", va="center", fontsize=7, color=QUIET)
    label = "share of the measured peak, %" if portrait.peak else "no peak was measured"
    share.set(xlabel=label, xlim=(0, max(110.0, 1.1 * max(shares))))
    for axes in (time, share):
        scale_on_top(axes)
    _family_legend(figure, kernels)
    return figure


def roofline(portrait: Portrait) -> Figure:
    """A point a kernel with MACs: operations a byte against 10^9 operations a second, under the roofs."""
    from matplotlib.ticker import LogLocator

    kernels = [k for k in portrait.kernels if k.macs]
    figure = new_figure(11, 5.6)
    axes = figure.subplots()
    x = np.array([k.intensity for k in kernels] or [1.0])
    y = np.array([k.gops for k in kernels] or [1.0])
    left, right = 0.5 * min(x.min(), 4.0), 2.0 * x.max()
    if portrait.peak:
        most = max(portrait.peak["int8_gops"], portrait.peak["f32_gops"])
        right = max(right, 4 * most / portrait.peak["bandwidth_gbs"])
        y = np.append(y, most)
        _roofs(axes, portrait.peak, left, right)
    longest = max((k.time_us for k in kernels), default=1.0)
    for kernel in sorted(kernels, key=lambda k: -k.time_us):  # small points over large ones
        size = max(MIN_POINT, MAX_POINT * (kernel.time_us / longest) ** 0.5)
        (mark,) = axes.plot(
            kernel.intensity, kernel.gops, "o", color=COLOURS[kernel.family], markersize=size, alpha=0.65,
            markeredgecolor="white", markeredgewidth=0.8,
        )  # fmt: skip
        mark.set_gid(tip(_describe(kernel)))
    axes.set(xscale="log", yscale="log", xlim=(left, right), ylim=(0.6 * y.min(), 1.9 * y.max()))
    axes.set(xlabel="arithmetic intensity, operations a byte", ylabel="achieved, GOP/s")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=20))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(lambda value, _: "")
    _family_legend(figure, kernels)
    return figure


def stability(portrait: Portrait) -> Figure:
    """The ratio to the anchor in each round, as a difference from the estimate; a panel a process."""
    figure = new_figure(11, 3.6)
    parts = [("measured", portrait.collected, BLUE)]
    if portrait.repeated:
        parts.append(("again, in a second process", portrait.repeated, ORANGE))
    panels = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    for axes, (title, rounds, colour) in zip(panels, parts, strict=True):
        _process_panel(axes, title, rounds, portrait.anchor_ratio, colour)
    panels[0].set_ylabel("difference from the estimate, %")
    return figure


def _process_panel(axes: Axes, title: str, rounds: Sequence[RoundFigure], centre: float, colour: str) -> None:
    values = [100 * (r.ratio / centre - 1) for r in rounds]
    good = [v for v, r in zip(values, rounds, strict=True) if not r.is_flagged] or values
    low, high = np.quantile(good, (0.25, 0.75))
    axes.axhspan(low, high, color=colour, alpha=0.10, linewidth=0)
    axes.axhline(float(np.median(good)), color=colour, linewidth=1)
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle=":")
    for i, (value, one) in enumerate(zip(values, rounds, strict=True), start=1):
        style, shade = ("x", INK) if one.is_flagged else ("o", colour)
        (mark,) = axes.plot(i, value, style, color=shade, markersize=5.5, alpha=0.85)
        flag = ", flagged" if one.is_flagged else ""
        mark.set_gid(tip(f"round {i}: {one.ratio:.4f} of the anchor ({value:+.2f} %){flag}"))
    flagged = sum(r.is_flagged for r in rounds)
    axes.set_title(f"{title}: {len(rounds)} rounds, {flagged} flagged (x)", fontsize=9, loc="left")
    axes.set_xlabel("round")
    axes.set_xlim(0, len(rounds) + 1)


def _roofs(axes: Axes, peak: dict[str, float], left: float, right: float) -> None:
    """What the machine can at most: memory's slope up to the flat roof of each precision."""
    bandwidth = peak["bandwidth_gbs"]
    most = max(peak["int8_gops"], peak["f32_gops"])
    ridge = most / bandwidth
    axes.plot([left, ridge], [left * bandwidth, ridge * bandwidth], color=INK, linewidth=1.4, zorder=1)
    lines = [(f"memory: {bandwidth:.1f} GB/s", left, left * bandwidth, (14, 2))]
    for key, name, style in (("int8_gops", "INT8", "-"), ("f32_gops", "FP32", "--")):
        if peak[key]:
            start = peak[key] / bandwidth
            axes.plot([start, right], [peak[key]] * 2, style, color=INK, linewidth=1.4, zorder=1)
            offset = (18, 4 if peak[key] == most else -12)  # the two may be close
            lines.append((f"{name}: {peak[key]:,.0f} GOP/s", start, peak[key], offset))
    for text, x, y, offset in lines:
        axes.annotate(text, (x, y), color=QUIET, fontsize=8, xytext=offset, textcoords="offset points")


def _family_legend(figure: Figure, kernels: Sequence[KernelFigures]) -> None:
    from matplotlib.lines import Line2D

    present = {k.family for k in kernels}
    marks = [
        Line2D([], [], color=colour, marker="s", linestyle="none", markersize=8, label=name)
        for name, colour in COLOURS.items()
        if name in present
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=len(marks), fontsize=9)


def _describe(kernel: KernelFigures) -> str:
    lines = [
        kernel.layer,
        f"{kernel.kind}, {kernel.exec_type}",
        kernel.shapes,
        f"{kernel.time_us:.1f} us, {kernel.share:.1%} of the network",
    ]
    if kernel.macs:
        lines.append(f"{kernel.macs / 1e6:.1f} million MACs, {kernel.gops:.1f} GOP/s")
        lines.append(f"{kernel.intensity:.1f} operations a byte")
    if kernel.peak_share is not None:
        lines.append(f"{kernel.peak_share:.0%} of the measured peak")
    return "\n".join(lines)
