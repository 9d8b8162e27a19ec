"""What results/ say of searches, in Markdown; `value` is a file's, `name` the file's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from results_file import (
    FOLDER,
    cpu_text,
    lacks_biases,
    link,
    machine_text,
    order_note,
    read,
    recipe_note,
    results,
)

from search.comparison import COPIES
from search.constraints import Constraints
from search.published import BASELINE, load_published

__all__ = [
    "chosen_within",
    "coverage_note",
    "minutes_text",
    "predictor_choice",
    "published_ratios",
    "search_efficiency",
    "speedup_text",
    "spread_note",
    "told",
    "whole_line",
    "within_macs",
]


def whole_line(value: dict[str, Any], name: str) -> str:
    """A study from training to measured finalists."""
    search = value["search"]
    base = search["baseline"]
    lines = [
        f"**`{value['study']}`**{recipe_note(value)}{order_note(name)}, on {machine_text(value)}, "
        f"{minutes_text(value)}, {value['steps_s']['search'] / 60:.1f} of them the search"
        f"{_searching(search)} ({link(name)}){asked_text(search)}:",
        "",
        "| network | million MACs | INT8 test accuracy | latency | speed-up | error of prediction |",
        "|---|---|---|---|---|---|",
        f"| INT8 baseline | {_head(base, base)} | 1.00x | |",
    ]
    for i, one in enumerate(search["finalists"], start=1):
        measured = one["measured"]
        label = f"finalist {i}{_tuned(one)}"
        label += "" if one["is_feasible"] else " (breaks a constraint)"
        lines.append(
            f"| {label} | {_head(one, measured)} | {speedup_text(measured, search)} "
            f"| {_error(one, search):+.1%} |"
        )
    picture = (FOLDER / name).with_suffix(".png")
    if picture.is_file():
        lines += ["", f"![Accuracy over latency of {value['study']}](benchmarks/results/{picture.name})"]
    return "\n".join([*lines, "", told(value)])


def minutes_text(value: dict[str, Any]) -> str:
    """How long a line took, and what it began with."""
    steps = value["steps_s"]
    begun = {"train": "in all", "collect": "after training"}
    after = next((text for step, text in begun.items() if step in steps), "with an earlier predictor")
    return f"{sum(steps.values()) / 60:.1f} minutes {after}"


def _searching(search: dict[str, Any]) -> str:
    """How long the real evaluations took."""
    seconds = (search.get("seconds_of") or {}).get("searching")
    if seconds is None:
        return ""
    return f" ({search['evaluations']['accuracy_measured']} real evaluations in {seconds / 60:.1f} minutes)"


def _tuned(one: dict[str, Any]) -> str:
    if not one.get("is_finetuned"):
        return ""
    epochs = (one.get("finetuning") or {}).get("epochs")
    int8 = (one.get("int8_finetuning") or {}).get("epochs")
    told = [f"{n} epochs{how}" for n, how in ((epochs, ""), (int8, " as INT8")) if n]
    return f" (fine-tuned, {' and '.join(told) or 'its file does not say how long'})"


def told(value: dict[str, Any]) -> str:
    """The fastest within one point and within the standard error, and how true the predictions were."""
    search, has_biases = value["search"], not lacks_biases(value)
    found = [one["measured"] for one in search["finalists"]]
    parts = []

    def fastest(what: str, allowed: Callable[[dict[str, Any]], float]) -> None:
        best = _fastest(search, allowed)
        found_text = "no finalist" if best is None else speedup_text(best, search) + change_text(best)
        if best is not None and _is_in_doubt(best, search):
            found_text += ", which is not faster beyond the noise"
        parts.append(f"with {what}, {found_text}")

    fastest("at most one point of INT8 accuracy lost", lambda m: 0.01)
    if all(m.get("top1_int8_change_se") is not None for m in found):
        fastest("none lost beyond the standard error of the loss", lambda m: m["top1_int8_change_se"])
    elif all(m.get("top1_int8_se") is not None for m in found):
        fastest("none lost beyond its standard error", lambda m: m["top1_int8_se"])
    inside = [
        one["is_inside_interval"] for one in search["finalists"] if one.get("is_inside_interval") is not None
    ]
    if inside:
        parts.append(f"{sum(inside)} of {len(inside)} latencies lie in their 90 % interval")
    errors = [abs(_error(one, search)) for one in search["finalists"]]
    parts.append(f"predictions of finalists are off by {sum(errors) / len(errors):.1%} on the mean")
    if not has_biases:
        parts[-1] += " (they came from networks without biases, which are faster than those that are built)"
    if any(one.get("is_finetuned") for one in search["finalists"]):
        parts.append("what is fine-tuned has been trained for longer than the baseline")
    if search.get("copies", 1) < COPIES:
        parts.append("intervals of this early file came from too few compiled copies and are left out")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def spread_note(study: str) -> str:
    """What the study's searches found within one point, from the least to the most; nothing for one file.
    Those with fine-tuned finalists are left out, for they were given more."""
    paths = [path for path in results(f"end_to_end-{study}") if "-finetuned-" not in path.name]
    best = [_fastest(read(path)["search"], lambda m: 0.01) for path in paths]
    found = sorted(one["speedup"] for one in best if one)
    if len(paths) < 2 or not found:
        return ""
    least = f"{found[0]:.2f}x" if all(best) else "no finalist"
    return (
        "What a search finds within one point differs from one training, collection and search to the next, "
        f"for few test images decide: in {len(paths)} files of `{study}`, of all machines and of earlier "
        f"recipes too, it is {least} to {found[-1]:.2f}x "
        "([each of them](docs/FIGURES.md#the-whole-line))."
    )


def _fastest(search: dict[str, Any], allowed: Callable[[dict[str, Any]], float]) -> dict[str, Any] | None:
    """Figures of the fastest finalist that loses no more INT8 accuracy than it is allowed."""
    base = search["baseline"]["top1_int8"]
    measured = [one["measured"] for one in search["finalists"]]
    kept = [m for m in measured if base - m["top1_int8"] <= allowed(m) + 1e-9]
    return max(kept, key=lambda m: m["speedup"], default=None)


def change_text(measured: dict[str, Any]) -> str:
    """The change of accuracy against the baseline's, with its standard error, where the file has both."""
    change, error = measured.get("top1_int8_change"), measured.get("top1_int8_change_se")
    if change is None or error is None:
        return ""
    return f" at {100 * change:+.2f} ± {100 * error:.2f} points"


def asked_text(search: dict[str, Any]) -> str:
    """The constraints that a search had, where its file says so."""
    kept = search.get("constraints")
    options = Constraints(**kept).options if kept else ""
    return f"; asked for: `{options}`" if options else ""


def _head(one: dict[str, Any], measured: dict[str, Any]) -> str:
    return f"{one['macs'] / 1e6:.1f} | {_top1(measured)} | {measured['latency_us']:.0f} us"


def _top1(measured: dict[str, Any]) -> str:
    error = measured.get("top1_int8_se")
    return f"{measured['top1_int8']:.2%}" + ("" if error is None else f" ± {100 * error:.2f}")


def speedup_text(found: dict[str, Any], how: dict[str, Any]) -> str:
    """With its interval. Early files do not say of how many compiled copies, which were one or three: theirs
    are too narrow, and left out."""
    ends = _interval(found, how)
    return f"{found['speedup']:.2f}x" + (f" ({ends[0]:.2f} to {ends[1]:.2f})" if ends else "")


def _interval(found: dict[str, Any], how: dict[str, Any]) -> tuple[float, float] | None:
    ends = found.get("speedup_interval") or found.get("interval")
    return (ends[0], ends[1]) if ends and how.get("copies", 1) >= COPIES else None


def _is_in_doubt(found: dict[str, Any], how: dict[str, Any]) -> bool:
    """Whether the interval of a speed-up does not say that it is one."""
    ends = _interval(found, how)
    return ends is not None and ends[0] <= 1


def _error(one: dict[str, Any], search: dict[str, Any]) -> float:
    """At the machine's speed when it was profiled."""
    measured = one["measured"]
    then_us = measured.get("latency_then_us") or measured["latency_us"] * search["machine_speed"]
    return float(one["predicted"]["latency_us"] / then_us - 1)


def search_efficiency(value: dict[str, Any], name: str) -> str:
    """One line an algorithm: real evaluations until the wanted share, by seed."""
    pool = f", of a search of {n} evaluations and these" if (n := value.get("reference_evaluations")) else ""
    lines = [
        f"Real evaluations that reach {value['share']:.1%} of the best known hypervolume{pool} in the space "
        f"of `{value['study']}`{recipe_note(value)} (10^{value['log10_size']:.1f} architectures), by seed, "
        f"and the share after "
        f"{value['evaluations']} ({link(name)}):",
        "",
        "| algorithm | evaluations | share at the end |",
        "|---|---|---|",
    ]
    for algorithm, runs in value["algorithms"].items():
        needed = ", ".join(str(one["evaluations_to_share"] or "not reached") for one in runs)
        ends = ", ".join(
            f"{one['share']:.1%}"
            + (f" after {one['evaluations']}" if one["evaluations"] != value["evaluations"] else "")
            for one in runs
        )
        lines.append(f"| `{algorithm}` | {needed} | {ends} |")
    whole = value["enumerated"]
    shares = ", ".join(f"{one['share']:.2%} with {one['evaluations']}" for one in whole["guided"])
    needed = ", ".join(str(one["evaluations_to_share"] or "not reached") for one in whole["guided"])
    shares += f" evaluations; {whole['share']:.0%} of it after {needed}"
    lines += [
        "",
        f"Of the true front's hypervolume in a part of it that was evaluated whole "
        f"({whole['architectures']} architectures, the accuracy model's mean error "
        f"{100 * whole['unexplained']:.2f} points) `guided` finds, by seed: {shares}. "
        f"A million architectures are scored in {value['scoring']['seconds']:.1f} s on {cpu_text(value)}.",
    ]
    if again := value.get("judged_again"):
        told = "; ".join(
            f"`{algorithm}` {', '.join(f'{share:.1%}' for share in shares)}"
            for algorithm, shares in again["algorithms"].items()
        )
        lines[-1] += (
            f" On {again['images']:,} validation images that no search has seen, which favour the "
            f"luckiest of many less, the fronts have of all fronts' hypervolume: {told}."
        )
    smallest, largest = value["ends"]
    error = value.get("standard_error", 0.0)
    if largest - smallest <= 2 * max(whole["unexplained"], error):
        lines[-1] += (
            f" The smallest and the largest network's accuracies differ by {100 * (largest - smallest):.2f} "
            f"points, no more than chance (each has a standard error of {100 * error:.2f}): shares in this "
            "space are luck."
        )
    return "\n".join(lines)


def predictor_choice(value: dict[str, Any], name: str) -> str:
    """How much faster at the same accuracy; "faster" only where the interval excludes 1."""
    (one, other), (low, high) = value["predictors"], value["gain_interval"]
    n, seeds = len(value["decisions"]), len(value["gain_by_seed"])
    told = "faster" if low > 1 else "slower" if high < 1 else "not told apart"
    return (
        f"At the same accuracy, what searches through `{one}` choose in the space of `{value['study']}` "
        f"runs, measured, at {value['gain']:.3f}x the speed ({low:.3f} to {high:.3f}) of what they choose "
        f"through `{other}`: {told} ({n} decisions, {value['same_choices']} of them for the same network; "
        f"{seeds} seeds; {link(name)})."
    )


def published_ratios(value: dict[str, Any], name: str) -> str:
    """LoadGen's throughput over INT8 ResNet-50's, here and as submitted."""
    networks = load_published()
    base = networks[BASELINE]
    parts = [part for part in ("offline", "server") if part in value]
    lines = [
        f"The published sub-networks under LoadGen on {cpu_text(value)}{_how_long(value)}, "
        f"throughput over INT8 ResNet-50's, here and as submitted "
        f"({link(name)}; weights {value['weights']}):",
        "",
        "| network | " + " | ".join(f"{part}, here | {part}, published" for part in parts) + " |",
        "|" + "---|" * (1 + 2 * len(parts)),
    ]
    theirs = {
        "offline": lambda n: n.offline_sps / base.offline_sps,
        "server": lambda n: n.server_qps / base.server_qps,
    }
    for key, network in networks.items():
        if key == BASELINE:
            continue
        cells = [c for p in parts for c in (_ratio(value[p]["ratios"][key]), f"{theirs[p](network):.2f}")]
        lines.append(f"| {network.label} | {' | '.join(cells)} |")
    notes = [f"{part}: {value[part]['note']}" for part in parts if value[part].get("note")]
    if "server" in parts:
        notes.append("server: in brackets is what the refused rates leave open, not a confidence interval")
    return "\n".join([*lines, *(["", f"Note, {'; '.join(notes)}."] if notes else [])])


def _how_long(value: dict[str, Any]) -> str:
    own = value.get("offline")
    if own is None:
        return " in quick runs" if value["is_quick"] else ""
    return f" (Offline: runs of {own['seconds_a_run']:g} s in turn, {runs_text(own)})"


def runs_text(offline: dict[str, Any]) -> str:
    """How many runs LoadGen calls valid; early files have ratios over the others too."""
    valid, n = offline["runs_valid"]
    is_of_all = valid < n and "valid" not in offline
    return f"{valid} of {n} runs VALID" + (", ratios of this early file are over all" if is_of_all else "")


def _ratio(ratio: dict[str, Any]) -> str:
    if ratio["value"] is None:
        return "none"
    low, high = ratio["interval"]
    return f"{ratio['value']:.2f}" + ("" if low is None else f" ({low:.2f} to {high:.2f})")


def coverage_note() -> str:
    """How many measured finalists of all files lie inside their predicted intervals, in words; or nothing."""
    found = [
        one["is_inside_interval"]
        for path in results("end_to_end")
        for one in read(path).get("search", {}).get("finalists", ())
    ]
    judged = [inside for inside in found if inside is not None]
    if not judged:
        return ""
    return (
        f"Over all files, {sum(judged)} of {len(judged)} finalists' latencies "
        f"({sum(judged) / len(judged):.0%}) lie in their 90 % interval."
    )


def chosen_within(search: dict[str, Any], name: str, mode: str, least_share: float = 0.0) -> dict[str, Any]:
    """Of the networks found within the MACs of a published one, and with so large a share of them, the one
    that the first measurement, which chose, says is the fastest: its figures in the second, and its MACs."""
    first = {
        (c["space"], c["least_share"], c["architecture"]): c["speedup"]
        for c in search["candidates"]
        if c["instead_of"] == name
    }
    own = [
        (first[c["space"], c["least_share"], c["architecture"]], i)
        for i, c in enumerate(search["chosen"])
        if c["instead_of"] == name and c["least_share"] >= least_share
    ]
    best = max(own)[1]
    return {**search["modes"][mode]["found"][best], "macs": search["chosen"][best]["macs"]}


def within_macs(value: dict[str, Any], name: str) -> str:
    """One column a space and share of the published network's MACs, one line a published network."""
    search = value["search"]
    mode = search["modes"]["latency"]
    columns = list(dict.fromkeys((c["space"], c["least_share"]) for c in search["chosen"]))
    lines = [
        "Within the MACs of the three ResNet-50 sub-networks that were submitted to MLPerf Inference v2.0, "
        "what a search through millions of predicted architectures finds: speed-up over INT8 ResNet-50, "
        "measured in interleaved rounds with one stream and one thread; weights are random, only speed is "
        "compared "
        f"({link(name)}):",
        "",
        "| MACs of | fewer than ResNet-50's | published network | "
        + " | ".join(f"{space}, {share:.0%} to 100% of its MACs" for space, share in columns)
        + " |",
        "|" + "---|" * (3 + len(columns)),
    ]
    for name, one in mode["published"].items():
        found = {
            (c["space"], c["least_share"]): f
            for c, f in zip(search["chosen"], mode["found"], strict=True)
            if c["instead_of"] == name
        }
        fewer = search["macs"]["TV"] / search["macs"][name]
        networks = [one, *(found[column] for column in columns)]
        cells = [f"{fewer:.2f}x", *(speedup_text(network, mode) for network in networks)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
