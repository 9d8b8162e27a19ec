"""The report as a page for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor import pictures
from predictor.bootstrap import LEVEL as CONFIDENCE
from predictor.bootstrap import N_RESAMPLES
from predictor.conformal import LEVEL
from predictor.judgement import Judgement
from predictor.learning_curve import Point
from profiling.ceiling import noise_note
from profiling.machine import conditions
from supernet.page import Cell, Page

__all__ = ["COLUMNS", "Material", "plain_rows", "report_page"]

COLUMNS = (
    "predictor",
    "learned from",
    "mean error",
    "in 1 %",
    "in 2 %",
    "in 5 %",
    "in 10 %",
    "tau",
    f"{LEVEL:.0%} interval holds",
    "its width",
)
_FIGURES = ("mape", "within_1", "within_2", "within_5", "within_10", "kendall_tau")


@dataclass(frozen=True)
class Material:
    """What the page is made of: the report's JSON value, the judgements (the judged predictor first),
    the test networks' names and qualities, and the learning curve."""

    value: dict[str, Any]
    judgements: Sequence[Judgement]
    names: Sequence[str]
    quality: NDArray[np.float64]
    points: Sequence[Point]


def plain_rows(value: dict[str, Any]) -> list[list[str]]:
    """The table of figures for a terminal, one row a predictor and one for the ceiling."""
    rows = []
    for name, found in value["predictors"].items():
        own, interval = found["network"], found["interval"]
        rows.append(
            [
                name,
                str(found["train_networks"]),
                *(_figure(key, own[key]) for key in _FIGURES),
                f"{interval['coverage']:.0%}",
                _percent(interval["width"]),
            ]
        )
    if value["ceiling"]["mape"] is not None:
        blank = [""] * 4
        tau = _figure("kendall_tau", value["ceiling"]["kendall_tau"])
        rows.append(["(ceiling)", "", f"{value['ceiling']['mape']:.2%}", *blank, tau, "", ""])
    return rows


def report_page(material: Material) -> Page:
    """Figures first, then pictures, then where it is wrong."""
    value = material.value
    page = Page(f"Latency predictor of {value['study']}", conditions(value["machine"], value["target"]))
    _headline(page, material)
    _networks(page, material)
    _coverage(page, material)
    _decision(page, material)
    _learning(page, material)
    _kernels(page, material)
    _worst(page, value)
    return page


def _headline(page: Page, material: Material) -> None:
    value, best = material.value, material.judgements[0]
    counts, ceiling = value["counts"], value["ceiling"]

    def fact(key: str, label: str) -> tuple[str, str]:
        spread = best.spread[key]
        return (
            _figure(key, best.values[key]),
            f"{label} ({_figure(key, spread.low)} to {_figure(key, spread.high)})",
        )

    facts = [fact("mape", f"mean error of {best.name}")]
    if ceiling["mape"] is not None:
        low, high = ceiling["mape_interval"]
        facts.append(
            (f"{ceiling['mape']:.2%}", f"ceiling: two measurements differ by ({low:.2%} to {high:.2%})")
        )
        facts.append((f"{ceiling['floor']:.2%}", "floor: a perfect predictor would be off by"))
    facts += [
        fact("kendall_tau", "Kendall tau"),
        fact("within_2", "within 2 %"),
        fact("within_5", "within 5 %"),
        fact("coverage", f"held by the {LEVEL:.0%} interval"),
        (str(value["predictors"][best.name]["train_networks"]), f"networks that {best.name} learned from"),
        (str(counts["test_networks"]), "unseen networks judged"),
        (f"{counts['kernels']:,}", "kernels measured"),
    ]
    page.facts(facts)
    page.text(_sentence(best))
    if note := noise_note(ceiling, best.values["mape"]):
        page.text(note)
    page.text(
        f"In brackets and in small print: {CONFIDENCE:.0%} bootstrap intervals from {N_RESAMPLES:,} "
        "resamples of the test networks (of the repeated ones for the ceiling).",
        quiet=True,
    )


def _sentence(best: Judgement) -> str:
    """Which baselines it beats, and where that is not sure."""
    if not best.against:
        return f"{best.name} is itself a baseline; train xgb to compare."
    beaten = [other for other in best.against if best.beats(other)]
    rest = [other for other in best.against if other not in beaten]
    parts = []
    if beaten:
        parts.append(f"{best.name} is better than {_listed(beaten)} in mean error and in tau.")
    for other in rest:
        verdicts = {k: best.against[other][k].verdict for k in ("mape", "kendall_tau")}
        parts.append(
            f"Against {other}: mean error {_said(verdicts['mape'])}, tau {_said(verdicts['kendall_tau'])}."
        )
    return " ".join(parts)


def _said(verdict: str) -> str:
    return "cannot be told apart" if verdict == "not told apart" else verdict


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _networks(page: Page, material: Material) -> None:
    value, best = material.value, material.judgements[0]
    evaluations = [j.evaluation for j in material.judgements]
    page.heading("Networks")
    page.text(
        "Every network here was held out from training. The ceiling is how far two measurements of a "
        "network, in two processes, differ; a perfect predictor would still show about 1/√2 of it (the "
        "dashed lines), the noise of the measurement that it is judged by."
    )
    page.table(COLUMNS, _network_rows(material))
    page.figures(
        (
            pictures.predicted_against_measured(evaluations, material.names),
            "Hover over a point for its network.",
        ),
        (
            pictures.error_distribution(evaluations, value["ceiling"]["floor"]),
            "Higher and further left is better.",
        ),
    )
    page.figures(
        (
            pictures.error_over_latency(best.evaluation, material.names, value["ceiling"]["floor"]),
            f"Where {best.name} is wrong: above 0 it predicts too slow.",
        ),
        (
            pictures.error_histogram(best.evaluation),
            f"Half of the errors are below {np.median(np.abs(best.evaluation.error)):.2%}, 95 % below "
            f"{best.values['p95_ape']:.2%}.",
        ),
    )
    if best.against:
        page.text(f"{best.name} minus each baseline, on the same resampled networks:")
        page.table(("against", "mean error", "in 1 %", "in 2 %", "in 5 %", "in 10 %", "tau"), _against(best))


def _network_rows(material: Material) -> list[list[str | Cell]]:
    rows: list[list[str | Cell]] = []
    for judgement in material.judgements:
        name = judgement.name
        row: list[str | Cell] = [name, str(material.value["predictors"][name]["train_networks"])]
        for key in (*_FIGURES, "coverage", "width"):
            spread = judgement.spread.get(key)  # a width is the same for all networks
            row.append(
                Cell(
                    _figure(key, judgement.values[key]),
                    note=f"{_figure(key, spread.low)} to {_figure(key, spread.high)}" if spread else "",
                    share=judgement.values[key] if key.startswith("within") else 0.0,
                )
            )
        rows.append(row)
    ceiling = material.value["ceiling"]
    if ceiling["mape"] is not None:
        label = Cell("(ceiling)", note=f"{material.value['counts']['ceiling_networks']} networks twice")
        tau = _figure("kendall_tau", ceiling["kendall_tau"])
        low, high = ceiling["mape_interval"]
        difference = Cell(f"{ceiling['mape']:.2%}", note=f"{low:.2%} to {high:.2%}")
        rows.append([label, "", difference, "", "", "", "", tau, "", ""])
    return rows


def _against(best: Judgement) -> list[list[str | Cell]]:
    rows: list[list[str | Cell]] = []
    for other, found in best.against.items():
        row: list[str | Cell] = [other]
        for key in _FIGURES:
            one, form = found[key], _signed(key)
            row.append(
                Cell(
                    f"{form(one.value)} {one.verdict if one.verdict != 'not told apart' else ''}".strip(),
                    note=f"{form(one.low)} to {form(one.high)}",
                    tone={"better": "good", "worse": "bad"}.get(one.verdict, ""),  # type: ignore[arg-type]
                )
            )
        rows.append(row)
    return rows


def _coverage(page: Page, material: Material) -> None:
    best = material.judgements[0]
    interval = material.value["predictors"][best.name]["interval"]
    page.heading("Intervals")
    if interval["width"] is None:
        page.text(f"Too few networks were learned from for a {LEVEL:.0%} interval: it is infinitely wide.")
        return
    page.text(
        f"The {LEVEL:.0%} interval of {best.name} holds {interval['coverage']:.1%} of the test networks; its "
        f"median width is {interval['width']:.2%} of the prediction."
    )
    page.figures(
        (pictures.coverage_by_latency(best), "By latency, from the fastest to the slowest networks.")
    )
    unlike = material.value["unlike"]
    if unlike is not None and unlike["high"] is not None:
        page.text(
            f"A network of no family that {best.name} learned from has a range of {unlike['low'] - 1:.1%} to "
            f"{unlike['high'] - 1:+.1%} instead, wider where kernels lie outside of what was learned from. "
            f"It holds {LEVEL:.0%} of the training networks when kernels of their places (kind, window and "
            "resolution) are held out. Another family may lie further off; it is no guarantee."
        )


def _decision(page: Page, material: Material) -> None:
    best, what = material.judgements[0], material.value["quality"]
    if best.regret is None:
        return
    page.heading("The decision")
    page.text(
        "Whoever demands a quality takes the network that is predicted to be the fastest with at least that "
        "quality. For the quality of each test network: how much slower that choice really is than the "
        "fastest measured one (regret)."
        + (" MACs stand for quality here, as no accuracy was given." if what == "MACs" else "")
    )
    rows: list[list[str | Cell]] = [
        [
            j.name,
            str(len(set(j.regret.chosen.tolist()))),
            Cell(f"{j.regret.mean:.2%}", note=f"{j.regret.spread.low:.2%} to {j.regret.spread.high:.2%}"),
            f"{j.regret.max:.2%}",
            _regret_against(best, j.name),
        ]
        for j in material.judgements
        if j.regret is not None
    ]
    columns = ("predictor", "networks chosen", "mean regret", "largest regret", f"{best.name} minus it")
    page.table(columns, rows)
    label = "million MACs" if what == "MACs" else what
    quality = material.quality / (1e6 if what == "MACs" else 1)
    page.figures(
        (pictures.chosen_front(best, quality, material.names, label), "Hover over a choice for its regret.")
    )


def _regret_against(best: Judgement, other: str) -> str | Cell:
    """The paired difference of the mean regrets, in points."""
    if other not in best.against:
        return ""
    found = best.against[other]["regret"]
    return Cell(
        f"{100 * found.value:+.2f} {found.verdict if found.verdict != 'not told apart' else ''}".strip(),
        note=f"{100 * found.low:+.2f} to {100 * found.high:+.2f}",
        tone={"better": "good", "worse": "bad"}.get(found.verdict, ""),  # type: ignore[arg-type]
    )


def _learning(page: Page, material: Material) -> None:
    if not material.points:
        return
    page.heading("How many networks are enough?")
    page.text(
        "Every predictor trained again, with the same parameters, on random parts of the study's training "
        "networks, and judged on the same test networks. A dot is one draw, a line goes through their means."
    )
    page.figures(
        (
            pictures.learning_curves(material.points, material.value["ceiling"]["floor"]),
            "Further down is better.",
        )
    )


def _kernels(page: Page, material: Material) -> None:
    best = material.judgements[0]
    page.heading("Kernels")
    rows: list[list[str | Cell]] = []
    for name, found in material.value["predictors"].items():
        own = found["kernel"]
        accuracy = (
            ["", "", "", ""]
            if own is None
            else [*(f"{own[k]:.1%}" for k in ("mape", "bias", "within_10")), f"{own['kendall_tau']:.3f}"]
        )
        rows.append([name, *accuracy, f"{found['architectures_per_s'] / 1e6:.1f} million"])
    page.table(
        ("predictor", "mean error", "bias", "in 10 %", "tau", "architectures a second, compiled"), rows
    )
    figures = []
    if best.evaluation.knows_kernels:
        caption = f"By kind of kernel, {best.name}; errors weighted by time."
        figures.append((pictures.kernel_errors(best.evaluation), caption))
    if material.value["importance"]:
        shown = pictures.importance_bars(material.value["importance"])
        figures.append((shown, f"What {best.name} looks at."))
    if figures:
        page.figures(*figures)
    page.text(
        "A kernel's measured time is its counter's share of the clean end-to-end latency, so that kernels "
        "sum to what was measured without counters. A ridge on the architecture's codes knows no kernels.",
        quiet=True,
    )


def _worst(page: Page, value: dict[str, Any]) -> None:
    page.heading("The worst networks")
    page.text("Unfold one for the kernels whose predicted time differs most from the measured one.")
    for place, one in enumerate(value["worst"], start=1):
        summary = (
            f"{place}. {one['error']:+.2%}: predicted {_time(one['predicted_us'])}, measured "
            f"{_time(one['measured_us'])}: {one['architecture']}"
        )
        difference = one["predicted_us"] - one["measured_us"]
        rows: list[list[str | Cell]] = [
            [
                k["layer"],
                k["kind"],
                _time(k["measured_us"]),
                _time(k["predicted_us"]),
                f"{k['difference_us']:+.1f} us",
                f"{k['difference_us'] / difference:+.0%}" if difference else "",
            ]
            for k in one["kernels"]
        ]
        page.details(
            summary, ("layer", "kernel", "measured", "predicted", "difference", "of the error"), rows
        )


def _time(us: float) -> str:
    return f"{us / 1e3:.3f} ms" if us >= 1e3 else f"{us:.1f} us"


def _percent(value: float | None) -> str:
    return "infinite" if value is None or not np.isfinite(value) else f"{value:.2%}"


def _figure(key: str, value: float) -> str:
    if key == "kendall_tau":
        return f"{value:.3f}"
    return _percent(value) if key in ("mape", "width") else f"{value:.0%}"


def _signed(key: str) -> Any:
    """Differences of shares are points."""
    if key == "kendall_tau":
        return lambda v: f"{v:+.3f}"
    return (lambda v: f"{100 * v:+.2f}") if key == "mape" else (lambda v: f"{100 * v:+.0f}")
