"""A self-contained HTML page: text, tables and pictures, no script and nothing to load."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from supernet.replacing import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BLUE", "GREY", "INK", "ORANGE", "Cell", "Page", "new_figure", "scale_on_top", "tip"]

# Colours that keep apart for colour-blind readers (Okabe & Ito 2008).
BLUE, ORANGE, GREY, INK = "#0072b2", "#d55e00", "#9aa0a6", "#202124"

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #202124; background: #f6f7f9; margin: 0; }
main { max-width: 1160px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 28px; margin: 0 0 4px; } h2 { font-size: 20px; margin: 36px 0 8px; }
p { max-width: 75ch; margin: 6px 0; } .quiet { color: #5f6368; font-size: 14px; }
.lead { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0; }
.fact { background: #fff; border: 1px solid #dadce0; border-radius: 10px; padding: 12px 18px; }
.fact b { display: block; font-size: 24px; font-weight: 600; } .fact span { color: #5f6368; font-size: 13px; }
.scroll { overflow-x: auto; margin: 12px 0; }
.scroll { background: #fff; border: 1px solid #dadce0; border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 8px; text-align: right; white-space: nowrap; }
th { background: #f1f3f4; font-weight: 600; } tr + tr td { border-top: 1px solid #e8eaed; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 12px 0; background: #fff; border: 1px solid #dadce0; border-radius: 10px; padding: 8px; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { color: #5f6368; font-size: 14px; padding: 0 12px 8px; }
figure svg g:has(> title):hover :is(use, path) { stroke: #202124 !important; stroke-width: 1.6 !important; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); gap: 12px; }
.pair { margin: 12px 0; }
.pair figure { margin: 0; } code { font-size: 13px; }
td small { display: block; color: #5f6368; font-size: 12px; font-weight: 400; }
td.good { color: #00693e; font-weight: 600; } td.bad { color: #a50e0e; font-weight: 600; }
td.bad small { white-space: normal; min-width: 15ch; }
td.bar { background: linear-gradient(to right, #dcebf5 var(--share), transparent var(--share)); }
details { margin: 8px 0; padding: 8px 14px; }
details { background: #fff; border: 1px solid #dadce0; border-radius: 10px; }
summary { cursor: pointer; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
details .scroll { border: 0; border-top: 1px solid #e8eaed; border-radius: 0; margin: 8px 0 0; }
@media (max-width: 760px) {
  main { padding: 20px 12px 40px; } h1 { font-size: 23px; overflow-wrap: anywhere; }
  figure { overflow-x: auto; } figure svg { min-width: 620px; }
}
"""

Tone = Literal["", "good", "bad"]


@dataclass(frozen=True)
class Cell:
    """A table's cell with more than text: a second, quiet line, a colour, or a bar behind it of a
    `share` of its width, 0 to 1."""

    text: str
    note: str = ""
    tone: Tone = ""
    share: float = 0.0

    def html(self) -> str:
        """The table cell."""
        kinds = " ".join(filter(None, [self.tone, "bar" if self.share > 0 else ""]))
        style = f' style="--share: {min(1.0, self.share):.1%}"' if self.share > 0 else ""
        note = f"<small>{html.escape(self.note)}</small>" if self.note else ""
        kind = f' class="{kinds}"' if kinds else ""
        return f"<td{kind}{style}>{html.escape(self.text)}{note}</td>"


class Page:
    """Pieces are added in order and written at once."""

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>", f'<p class="quiet">{html.escape(subtitle)}</p>']
        self._n_figures = 0

    def heading(self, text: str) -> None:
        """A section's heading."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str, *, quiet: bool = False) -> None:
        """A paragraph."""
        kind = ' class="quiet"' if quiet else ""
        self._parts.append(f"<p{kind}>{html.escape(text)}</p>")

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        """Headline figures: (value, what it is)."""
        boxes = "".join(
            f'<div class="fact"><b>{html.escape(value)}</b><span>{html.escape(what)}</span></div>'
            for value, what in facts
        )
        self._parts.append(f'<div class="lead">{boxes}</div>')

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str | Cell]]) -> None:
        """A table; the first column is text, the others numbers."""
        self._parts.append(_table(columns, rows))

    def details(self, summary: str, columns: Sequence[str], rows: Iterable[Sequence[str | Cell]]) -> None:
        """A table that is folded away behind its summary."""
        self._parts.append(
            f"<details><summary>{html.escape(summary)}</summary>{_table(columns, rows)}</details>"
        )

    def figures(self, *figures: tuple[Figure, str]) -> None:
        """Pictures side by side where there is room, each with its caption."""
        parts = [
            f"<figure>{self._svg(figure)}<figcaption>{html.escape(caption)}</figcaption></figure>"
            for figure, caption in figures
        ]
        body = "".join(parts)
        self._parts.append(f'<div class="pair">{body}</div>' if len(parts) > 1 else body)

    def write(self, path: Path) -> None:
        """Writes the page whole or not at all."""
        text = (
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
            "<meta name='viewport' content='width=device-width, initial-scale=1'>"
            "<link rel='icon' href='data:,'>"
            f"<title>{html.escape(self.title)}</title><style>{_STYLE}</style></head>"
            f"<body><main>{''.join(self._parts)}</main></body></html>\n"
        )
        with replacing(path) as (partial,):
            partial.write_text(text, encoding="utf-8")

    def _svg(self, figure: Figure) -> str:
        self._n_figures += 1
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        svg = buffer.getvalue()
        svg = svg[svg.index("<svg") :]
        # Identifiers must not meet those of the page's other pictures.
        prefix = f"f{self._n_figures}-"
        svg = re.sub(r'\bid="(?!tip:)', f'id="{prefix}', svg)
        svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", svg)
        # Text that `tip` put into an identifier becomes what the browser shows on hover.
        return re.sub(r'<g id="tip:([^"]*)">', lambda m: f"<g><title>{_tip_text(m[1])}</title>", svg)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str | Cell]]) -> str:
    head = "".join(f"<th>{html.escape(c)}</th>" for c in columns)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _cell(cell: str | Cell) -> str:
    return (cell if isinstance(cell, Cell) else Cell(cell)).html()


def new_figure(width: float = 6.4, height: float = 4.2) -> Figure:
    """An empty figure in inches; no window system is touched."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update(
        {
            "svg.fonttype": "path",
            "svg.hashsalt": "ovnas",
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#e8eaed",
            "axes.axisbelow": True,
            "axes.edgecolor": GREY,
            "legend.frameon": False,
        }
    )
    return Figure(figsize=(width, height), layout="constrained")


def scale_on_top(axes: Axes) -> None:
    """For long lists of horizontal bars, which are read from the top."""
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_label_position("top")
    axes.xaxis.tick_top()
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.spines["top"].set_visible(True)


def tip(text: str) -> str:
    """A matplotlib `gid` that becomes a tooltip with `text` on the page."""
    return "tip:" + text.encode("utf-8").hex()


def _tip_text(code: str) -> str:
    return html.escape(bytes.fromhex(code).decode("utf-8"))
