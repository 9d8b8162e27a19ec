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
    figure = new_figure()
    axes = figure.subplots()
    places = list(range(len(names)))
    axes.barh([p - 0.2 for p in places], [v / 1e3 for v in predicted_us], 0.38, color=GREY, label="predicted")
    bars = axes.barh(
        [p + 0.2 for p in places], [v / 1e3 for v in measured_us], 0.38, color=BLUE, label="measured"
    )
    labels = [f"{p / m - 1:+.1%}" for p, m in zip(predicted_us, measured_us, strict=True)]
    axes.bar_label(bars, labels, padding=3, fontsize=8, color=INK)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel("latency, ms (the number is prediction against measurement)")
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def speedup_bars(names: Sequence[str], speedup: Sequence[float], macs_ratio: Sequence[float]) -> Figure:
    """How much of the saved work became speed."""
    figure = new_figure()
    axes = figure.subplots()
    places = list(range(len(names)))
    axes.barh([p - 0.2 for p in places], macs_ratio, 0.38, color=GREY, label="fewer MACs")
    bars = axes.barh([p + 0.2 for p in places], speedup, 0.38, color=ORANGE, label="faster, measured")
    axes.bar_label(bars, fmt="%.2fx", padding=3, fontsize=9)
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("times, against the INT8 pre-trained model")
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper right", ncols=2)
    return figure
