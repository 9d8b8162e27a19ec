"""The search report's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from search.problem import Candidate
from supernet.page import BLUE, GREY, INK, ORANGE, new_figure, tip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["front_picture", "predicted_and_measured", "speedup_bars"]

MAX_TIPS = 2_000


def front_picture(
    candidates: Sequence[Candidate], front: Sequence[Candidate], chosen: Sequence[Candidate], quality: str
) -> Figure:
    """All evaluated architectures, the predicted front and the finalists on it."""
    figure = new_figure(10, 4.6)
    axes = figure.subplots()
    scale = 100 if quality.startswith("validation") else 1
    on_front = {c.architecture for c in front}
    others = [c for c in candidates if c.architecture not in on_front]
    if len(others) > MAX_TIPS:  # too many to point at: one image in the picture
        xs, ys = [c.latency_us / 1e3 for c in others], [scale * c.quality for c in others]
        axes.plot(xs, ys, "o", color=GREY, markersize=3, alpha=0.5, rasterized=True)
    else:
        for candidate in others:
            x, y = candidate.latency_us / 1e3, scale * candidate.quality
            (mark,) = axes.plot(x, y, "o", color=GREY, markersize=4, alpha=0.7)
            mark.set_gid(tip(_label(candidate, scale)))
    xs, ys = [c.latency_us / 1e3 for c in front], [scale * c.quality for c in front]
    axes.step(xs, ys, where="post", color=BLUE, linewidth=1.2, label="predicted front")
    for i, candidate in enumerate(chosen):
        (mark,) = axes.plot(
            candidate.latency_us / 1e3, scale * candidate.quality, "o", color=ORANGE, markersize=8,
            label="finalists" if i == 0 else None,
        )  # fmt: skip
        mark.set_gid(tip(_label(candidate, scale)))
    for candidate in front:
        (mark,) = axes.plot(
            candidate.latency_us / 1e3, scale * candidate.quality, "o", color=BLUE, markersize=4
        )
        mark.set_gid(tip(_label(candidate, scale)))
    axes.set(xlabel="predicted latency, ms", ylabel=f"{quality}{', %' if scale == 100 else ''}")
    axes.legend(loc="lower right")
    return figure


def _label(candidate: Candidate, scale: float) -> str:
    return (
        f"{candidate.architecture}\npredicted {candidate.latency_us / 1e3:.3f} ms, "
        f"{scale * candidate.quality:.2f}, {candidate.macs / 1e6:.1f} million MACs"
    )


def predicted_and_measured(
    names: Sequence[str], predicted_us: Sequence[float], measured_us: Sequence[float]
) -> Figure:
    """Both latencies of each finalist."""
    return _paired_bars(
        names,
        ("predicted", GREY, [v / 1e3 for v in predicted_us]),
        ("measured", BLUE, [v / 1e3 for v in measured_us]),
        [f"{p / m - 1:+.1%}" for p, m in zip(predicted_us, measured_us, strict=True)],
        "latency, ms (the number is prediction against measurement)",
    )


def speedup_bars(names: Sequence[str], speedup: Sequence[float], macs_ratio: Sequence[float]) -> Figure:
    """How much of the saved work became speed."""
    figure = _paired_bars(
        names,
        ("fewer MACs", GREY, macs_ratio),
        ("faster, measured", ORANGE, speedup),
        [f"{value:.2f}x" for value in speedup],
        "times, against the INT8 pre-trained model",
    )
    figure.axes[0].axvline(1, color=INK, linewidth=1)
    return figure


def _paired_bars(
    names: Sequence[str],
    upper: tuple[str, str, Sequence[float]],
    lower: tuple[str, str, Sequence[float]],
    labels: Sequence[str],
    axis: str,
) -> Figure:
    """Two bars a name, each set given by its label, colour and values; `labels` stand at the lower ones."""
    figure = new_figure()
    axes = figure.subplots()
    places = range(len(names))
    for shift, (label, colour, values) in ((-0.2, upper), (0.2, lower)):
        bars = axes.barh([p + shift for p in places], values, 0.38, color=colour, label=label)
    axes.bar_label(bars, labels, padding=3, fontsize=9)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel(axis)
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper right", ncols=2)
    return figure
