"""The picture of a super-network, drawn from its outline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from supernet.outline import Outline, Row
from supernet.page import BLUE, GREY, INK, ORANGE, new_figure, tip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["network_picture"]

# Okabe & Ito 2008, and lighter and darker ones between them for networks of many groups.
PALETTE = (
    BLUE, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", ORANGE, "#8f7a00", "#6a51a3", "#1b7837", "#a6611a",
    "#35978f", "#b2182b",
)  # fmt: skip
QUIET = "#5f6368"
ROW_INCHES = 0.19
# In units of the longest bar.
ARCS, BRACKETS, TEXT = -0.16, 1.03, 1.12


def network_picture(outline: Outline) -> Figure:
    """A row an operation, from the input downwards: its channels, where they are read, what is elastic."""
    rows = outline.rows
    figure = new_figure(11, 0.9 + ROW_INCHES * len(rows))
    axes = figure.subplots()
    colours = _colours(outline)
    longest = max(row.channels for row in rows) ** 0.5
    for place, row in enumerate(rows):
        _bar(axes, place, row, longest, colours)
        _details(axes, place, row)
    _arcs(axes, rows)
    _brackets(axes, outline)
    axes.set_yticks(range(len(rows)), [_short(row.name) for row in rows], fontsize=7)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(INK if row.macs else QUIET)
    axes.set(xlim=(ARCS - 0.01, 1.75), ylim=(len(rows) - 0.4, -0.8))
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    _legend(figure, outline)
    return figure


def _bar(axes: Axes, place: int, row: Row, longest: float, colours: Mapping[int, str]) -> None:
    """The whole width pale, the least that a sub-network keeps in full colour; one that stays is grey."""
    whole, least = row.channels**0.5 / longest, row.least**0.5 / longest
    colour = colours[row.groups[0]] if row.groups else GREY
    (bar,) = axes.barh(place, whole, height=0.72, color=colour, alpha=0.35, linewidth=0)
    bar.set_gid(tip(_describe(row)))
    if row.groups:
        parts = [colours[group] for group in row.groups][:8]
        for i, part in enumerate(parts):
            step = least / len(parts)
            axes.barh(place, step, left=i * step, height=0.72, color=part, linewidth=0)
    else:
        axes.barh(place, whole, height=0.72, color=colour, alpha=0.5, linewidth=0)


def _details(axes: Axes, place: int, row: Row) -> None:
    shape = " x ".join(map(str, row.shape[1:])) if len(row.shape) > 1 else str(row.shape[0])
    text = f"{row.operation}  ·  {shape}"
    if row.macs:
        text += f"  ·  {row.macs / 1e6:,.1f} M MACs"
    axes.text(TEXT, place, text, va="center", fontsize=6.5, color=QUIET)
    if row.sides:
        mark = axes.text(
            TEXT - 0.012, place, "K", va="center", ha="right", fontsize=6.5, color="white", weight="bold",
            bbox={"boxstyle": "square,pad=0.15", "facecolor": ORANGE, "edgecolor": "none"},
        )  # fmt: skip
        mark.set_gid(tip(f"elastic kernel: side {', '.join(map(str, row.sides))}"))


def _arcs(axes: Axes, rows: tuple[Row, ...]) -> None:
    """Where a row reads another one than that directly above it."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    for place, row in enumerate(rows):
        for source in row.sources:
            if place - source <= 1:
                continue
            depth = max(ARCS, -0.016 * (place - source) ** 0.75)
            points = [(0, source), (depth, source), (depth, place), (0, place)]
            codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
            arc = PathPatch(Path(points, codes), facecolor="none", edgecolor=QUIET, linewidth=0.7)
            arc.set_gid(tip(f"{row.name} reads {rows[source].name}"))
            axes.add_patch(arc)


def _brackets(axes: Axes, outline: Outline) -> None:
    """Each block that a sub-network may leave out."""
    blocks: dict[tuple[int, int], list[int]] = {}
    for place, row in enumerate(outline.rows):
        if row.block is not None:
            blocks.setdefault((row.block.slot, row.block.position), []).append(place)
    for (slot, position), places in blocks.items():
        top, bottom = min(places) - 0.36, max(places) + 0.36
        points = [(BRACKETS, top), (BRACKETS + 0.02, top), (BRACKETS + 0.02, bottom), (BRACKETS, bottom)]
        (line,) = axes.plot(*zip(*points, strict=True), color=INK, linewidth=1.1)
        choices = ", ".join(f"{c:g}" for c in outline.slots[slot].choices)
        line.set_gid(tip(f"may be left out: block {position + 1} of {outline.slots[slot].name} ({choices})"))


def _colours(outline: Outline) -> dict[int, str]:
    """One colour a group, in the order in which they appear, so that neighbours differ."""
    groups = dict.fromkeys(group for row in outline.rows for group in row.groups)
    return {group: PALETTE[i % len(PALETTE)] for i, group in enumerate(groups)}


def _legend(figure: Figure, outline: Outline) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks: list[Patch | Line2D] = [
        Patch(color=BLUE, label="channels that every sub-network keeps"),
        Patch(color=BLUE, alpha=0.35, linewidth=0, label="that may be left out"),
        Patch(color=GREY, alpha=0.7, linewidth=0, label="fixed"),
    ]
    if outline.n_skippable:
        marks.append(
            Line2D([], [], color=INK, marker="$]$", linestyle="none", label="block that may be skipped")
        )
    if outline.n_slots("kernel"):
        marks.append(
            Line2D(
                [], [], color=ORANGE, marker="s", linestyle="none", markersize=8, label="elastic kernel (K)"
            )
        )
    figure.legend(handles=marks, loc="outside upper center", ncols=len(marks), fontsize=8)


def _describe(row: Row) -> str:
    lines = [row.name, row.operation]
    if row.groups:
        lines.append(f"{row.channels} channels, {row.least} at least, {row.choices} width(s)")
        lines.append(f"channel group(s) {', '.join(map(str, row.groups))}")
    else:
        lines.append(f"{row.channels} channels, fixed")
    return "\n".join(lines)


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"…{name[-39:]}"
