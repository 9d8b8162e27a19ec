"""Writes the figures of results/ into docs/FIGURES.md, and those that matter most into README.md, between its
two markers: `python benchmarks/figures.py`, or `--check`."""

from __future__ import annotations

import sys

from predictor_figures import baselines, compiled_speed, predictor_accuracy, resnet50
from profiling_figures import benchmark_app, kill, repeatability, sliced_oracle
from results_file import FOLDER, biases_note, is_without_biases, read, recipe_note, results
from search_figures import (
    coverage_note,
    predictor_choice,
    published_ratios,
    search_efficiency,
    spread_note,
    whole_line,
    within_macs,
)
from summary import summary
from training_figures import accuracies, alone, given, strategies
from zoo_figures import zoo_coverage

ROOT = FOLDER.parent.parent
README, FIGURES = ROOT / "README.md", ROOT / "docs" / "FIGURES.md"
BEGIN, END = "<!-- figures: written by benchmarks/figures.py -->", "<!-- end of figures -->"
HEAD = """# Figures

Written by `python benchmarks/figures.py` from the files in [benchmarks/results/](benchmarks/results/),
each of which names its machine, its date and its revision. How they were made:
[benchmarks/](benchmarks/README.md). Ratios are taken within one run, for a shared machine changes
its speed by several per cent in seconds."""


def all_figures() -> str:
    """docs/FIGURES.md: every result that is there, room by room."""
    accuracy = results("predictor_accuracy")
    repeated, sliced = results("repeatability"), results("sliced_oracle")
    lines = results("end_to_end-digits") + results("end_to_end-cifar10")
    rooms = {
        "The whole line": [whole_line(read(p), p.name) for p in lines],
        "Super-network": [
            *(zoo_coverage(read(p), p.name) for p in results("zoo_coverage")),
            *(accuracies(read(p), p.name) for p in results("supernet_accuracies")),
            *(given(read(p), p.name) for p in results("supernet_given")),
            *(alone(read(p), p.name) for p in results("supernet_alone")),
            *(strategies(read(p), p.name) for p in results("supernet_strategies")),
        ],
        "Profiling": [
            *([repeatability(repeated)] if repeated else []),
            *([sliced_oracle(sliced)] if sliced else []),
            *map(benchmark_app, results("benchmark_app")),
            *map(kill, results("kill")),
        ],
        "Predictor": [
            *map(resnet50, results("end_to_end-resnet50")),
            *([predictor_accuracy(accuracy), baselines(accuracy)] if accuracy else []),
            *map(compiled_speed, results("compiled_speed")),
        ],
        "Search": [
            *(search_efficiency(read(p), p.name) for p in results("search_efficiency")),
            *(predictor_choice(read(p), p.name) for p in results("predictor_choice")),
            *_mlperf_v20(),
        ],
    }
    texts = [f"## {room}\n\n" + "\n\n".join(parts) for room, parts in rooms.items() if parts]
    text = "\n\n".join([HEAD, *filter(None, [biases_note()]), *texts])
    return text.replace("](benchmarks/", "](../benchmarks/") + "\n"


def _mlperf_v20() -> list[str]:
    parts = []
    for path in results("mlperf_v20"):
        value = read(path)
        if "offline" in value or "server" in value:
            parts.append(published_ratios(value, path.name))
        if "search" in value:
            parts.append(within_macs(value, path.name))
    return parts


def updated(text: str) -> str:
    """README's text with the summary between its markers."""
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    lines = sorted(
        results("end_to_end-digits"), key=lambda p: (is_without_biases(p), bool(recipe_note(read(p))))
    )
    parts = [whole_line(read(path), path.name) for path in lines[:1]]
    parts += [
        *filter(None, [spread_note("digits")]),
        summary(),
        *filter(None, [biases_note("\\* "), coverage_note()]),
    ]
    return "\n".join([f"{head}{BEGIN}", "\n\n".join(parts), f"{END}{tail}"])


if __name__ == "__main__":
    wanted = {README: updated(README.read_text(encoding="utf-8")), FIGURES: all_figures()}
    stale = [
        path.name
        for path, text in wanted.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv:
        sys.exit(
            f"{', '.join(stale)}: not what results/ say; run python benchmarks/figures.py" if stale else 0
        )
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
