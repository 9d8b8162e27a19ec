"""The README's table: what matters most of results/, a line each, good or bad."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from results_file import cpu_text, is_without_biases, order_note, read, recipe_note, results, where
from search_figures import chosen_within, minutes_text, runs_text, speedup_text, told
from zoo_figures import models_tried

from search.comparison import COPIES
from search.published import BASELINE, load_published

__all__ = ["summary"]

Value = dict[str, Any]
NOISY = 0.02  # of a ceiling, as the README says


def summary() -> str:
    """One line a benchmark and machine, those with VNNI first. The other figures are in docs/FIGURES.md; so
    are those of another recipe or an earlier way to measure, where the same machine has the study's own."""
    lines = []
    for name, tell in _LINES:
        paths = results(name)
        current = {_like(path) for path in paths if not _is_aside(path)}
        for path in paths:
            if _is_aside(path) and _like(path) in current:
                continue
            value, cpu = read(path), _cpu(path)
            star = "\\*" if is_without_biases(path) else ""
            link = f"[file]({where(path)})"
            note = order_note(path.name)
            lines += [f"| {what}{note} | {cpu} | {found}{star} ({link}) |" for what, found in tell(value)]
    return "\n".join(["| what | machine | measured |", "|---|---|---|", *lines])


def _cpu(path: Path) -> str:
    value = read(path)
    return cpu_text(value) if "machine" in value else ""


def _like(path: Path) -> tuple[str, bool]:
    return _cpu(path), "-finetuned-" in path.name


def _is_aside(path: Path) -> bool:
    return bool(recipe_note(read(path)) or order_note(path.name))


def _whole(value: Value) -> Iterator[tuple[str, str]]:
    tuned = sum(bool(one.get("is_finetuned")) for one in value["search"]["finalists"])
    of_them = f", {tuned} of them fine-tuned" if tuned else ""
    how = f"{of_them}{recipe_note(value)}: {minutes_text(value)}"
    yield f"`{value['study']}`, measured finalists{how}", told(value)


def _zoo(value: Value) -> Iterator[tuple[str, str]]:
    models = value["models"].values()
    passed = sum(not found["faults"] for found in models)
    counts = [found["n_architectures"] for found in models]
    yield (
        f"models of {models_tried(value)} that become super-networks, all checks passed",
        f"{passed} of {len(models)}; {min(counts)} to {max(counts)} architectures each, random weights",
    )


def _accuracies(value: Value) -> Iterator[tuple[str, str]]:
    found, largest = value["accuracy"], value["accuracy"]["largest"]["macs"]
    small = found["smallest"]
    yield (
        f"super-network of `{value['study']}`{recipe_note(value)}, test accuracy",
        f"pre-trained {found['pretrained']['test']:.1%}, largest {found['largest']['test']:.1%}, smallest "
        f"({small['macs'] / largest:.0%} of the MACs) {small['test']:.1%}",
    )


def _repeatability(value: Value) -> Iterator[tuple[str, str]]:
    own = next(found for name, found in reversed(value["estimators"].items()) if "ovnas" in name)
    beside = "beside a busy process" if value["disturbed"] else "on a quiet machine"
    yield (
        f"{value['networks']} sub-networks of `{value['study']}` measured in two processes, {beside}",
        f"differ by {own['mean_absolute_difference']:.2%}, Kendall tau {own['kendall_tau']:.3f}",
    )


def _predicted(value: Value) -> Iterator[tuple[str, str]]:
    name, found = next(iter(value["predictors"].items()))
    own, ceiling = found["network"], value["ceiling"]["mape"]
    seen = " and ".join(f"`{study}`" for study in value["studies"])
    judged = " and ".join(f"`{study}`" for study in value["judged_on"])
    learned = f"{value['counts']['train_networks']} networks" + ("" if judged == seen else f" of {seen}")
    yield (
        f"latency of {value['counts']['test_networks']} sub-networks of {judged}, predicted by `{name}` from "
        f"{learned}",
        f"off by {own['mape']:.2%} on the mean, Kendall tau {own['kendall_tau']:.3f}"
        + ("" if ceiling is None else f"; measured twice: {ceiling:.2%}")
        + (", on a noisy machine" if ceiling is not None and ceiling > NOISY else ""),
    )


def _published(value: Value) -> Iterator[tuple[str, str]]:
    networks = load_published()
    base = networks[BASELINE].offline_sps
    if "offline" in value:
        found = value["offline"]["ratios"]
        ratios = [
            f"{name} {'none' if found[name]['value'] is None else format(found[name]['value'], '.2f') + 'x'} "
            f"({network.offline_sps / base:.2f}x published)"
            for name, network in networks.items()
            if name != BASELINE
        ]
        yield (
            "the published ResNet-50 sub-networks under LoadGen Offline"
            f"{', quick' if value['is_quick'] else ''} (random weights: speed only)",
            f"{', '.join(ratios)}; {runs_text(value['offline'])}",
        )
    if "search" in value:
        search = value["search"]
        mode = search["modes"]["latency"]
        share = max(c["least_share"] for c in search["chosen"])  # what has as many MACs compares
        best, own = chosen_within(search, "A", "latency", share), mode["published"]["A"]
        fewer, of_a = (search["macs"][BASELINE] / macs for macs in (best["macs"], search["macs"]["A"]))
        early = "; intervals of this early file are left out" if mode.get("copies", 1) < COPIES else ""
        yield (
            f"what a search finds with {share:.0%} to 100% of the MACs of A, latency (random weights: speed "
            "only)",
            f"{speedup_text(best, mode)} as fast as ResNet-50 with {fewer:.2f}x fewer MACs, where A itself "
            f"is {speedup_text(own, mode)} with {of_a:.2f}x fewer{early}",
        )


_LINES: tuple[tuple[str, Callable[[Value], Iterator[tuple[str, str]]]], ...] = (
    ("end_to_end-digits", _whole),
    ("end_to_end-cifar10", _whole),
    ("zoo_coverage-torchvision", _zoo),
    ("supernet_accuracies-cifar10", _accuracies),
    ("repeatability-resnet50-[!d]*", _repeatability),
    ("predictor_accuracy-resnet50-1-threads", _predicted),
    ("predictor_accuracy-resnet18-unseen-by-resnet50+mobilenet_v2-1-threads", _predicted),
    ("mlperf_v20-quick", _published),
)
