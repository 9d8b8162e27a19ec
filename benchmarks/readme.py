"""Writes the figures of results/ into README.md, between its two markers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from results_file import FOLDER, machine_text
from search_figures import predictor_choice, published_ratios, search_efficiency, whole_line
from training_figures import accuracies, alone, strategies
from zoo_figures import zoo_coverage

README = FOLDER.parent.parent / "README.md"
BEGIN, END = "<!-- figures: written by benchmarks/readme.py -->", "<!-- end of figures -->"


def figures() -> str:
    """The Markdown of every result that is there."""
    parts = []
    for name, text in (
        ("end_to_end-digits", whole_line),
        ("end_to_end-cifar10", whole_line),
        ("zoo_coverage", zoo_coverage),
        ("supernet_accuracies", accuracies),
        ("supernet_alone", alone),
        ("supernet_strategies", strategies),
        ("search_efficiency", search_efficiency),
        ("predictor_choice", predictor_choice),
    ):
        parts += [text(_read(path), path.name) for path in sorted(FOLDER.glob(f"{name}-*.json"))]
    for path in sorted(FOLDER.glob("end_to_end-resnet50-*.json")):
        parts.append(_resnet50(path))
    rows = sorted(FOLDER.glob("predictor_accuracy-*.json"))
    if rows:
        parts.append(_predictor_accuracy(rows))
        parts.append(_baselines(rows))
    for path in sorted(FOLDER.glob("compiled_speed-*.json")):
        value = _read(path)
        parts.append(
            f"Compiled over the space of `{value['study']}`, `{value['predictor']}` scores "
            f"{value['architectures_per_s'] / 1e6:.1f} million architectures a second on one core "
            f"([file](benchmarks/results/{path.name}))."
        )
    if rows := sorted(FOLDER.glob("repeatability-*.json"), key=lambda p: "disturbed" in p.name):
        parts.append(_repeatability(rows))
    if rows := sorted(FOLDER.glob("sliced_oracle-*.json")):
        parts.append(_sliced_oracle(rows))
    parts += [_benchmark_app(path) for path in sorted(FOLDER.glob("benchmark_app-*.json"))]
    parts += [_kill(path) for path in sorted(FOLDER.glob("kill-*.json"))]
    for path in sorted(FOLDER.glob("mlperf_v20-*.json")):
        value = _read(path)
        if "offline" in value or "server" in value:
            parts.append(published_ratios(value, path.name))
        if "search" in value:
            parts.append(_mlperf_v20(path))
    return "\n\n".join(parts)


def _resnet50(path: Path) -> str:
    value = _read(path)
    collected, minutes = value["collect"], value["steps_s"]["collect"] / 60
    lines = [
        f"**`resnet50`** at 224 px on {machine_text(value)}: {collected['networks']} networks and "
        f"{collected['kernels']:,} kernels measured in {minutes:.1f} minutes (preparing one network takes "
        f"{collected['prepare_s']:.2f} s; {collected['peak_memory_gib']:.1f} GiB of memory; counters "
        f"as read differ by {collected['counters_difference']:+.1%} from end to end); "
        f"judged on {value['report']['counts']['test_networks']} networks held out "
        f"([file](benchmarks/results/{path.name})):",
        "",
        "| | mean error | within 2 % | within 5 % | Kendall tau |",
        "|---|---|---|---|---|",
    ]
    for name, found in value["report"]["predictors"].items():
        m = found["network"]
        lines.append(
            f"| `{name}` | {m['mape']:.2%} | {m['within_2']:.0%} | {m['within_5']:.0%} | "
            f"{m['kendall_tau']:.3f} |"
        )
    ceiling = value["report"]["ceiling"]
    if ceiling["mape"] is None:
        return "\n".join(lines)
    lines.append(f"| ceiling: measured twice | {ceiling['mape']:.2%} | | | {ceiling['kendall_tau']:.3f} |")
    return "\n".join(lines)


def _predictor_accuracy(paths: list[Path]) -> str:
    """A line a row: the judged predictor, with bootstrap intervals in brackets."""
    lines = [
        "Predictors on networks that they have not seen (in brackets: 95 % bootstrap intervals; "
        "the last two columns are of the 90 % interval around a prediction, in brackets its means over "
        "several random splits):",
        "",
        "| study, target | learned from | judged on | mean error | within 2 % | within 5 % | Kendall tau | "
        "ceiling | holds | width |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for path in paths:
        value = _read(path)
        found = next(iter(value["predictors"].values()))
        own, spread, interval = found["network"], found["network_interval"], found["interval"]
        low, high = spread["mape"]
        tau_low, tau_high = spread["kendall_tau"]
        ceiling = value["ceiling"]["mape"]
        width, splits = interval["width"], value.get("splits")
        held = f" ({splits['coverage']:.1%} of {splits['judgements']})" if splits else ""
        mean_width = f" ({splits['width']:.1%})" if splits and splits["width"] is not None else ""
        lines.append(
            f"| {_row_name(value)} ([file](benchmarks/results/{path.name})) | "
            f"{value['counts']['train_networks']} | {value['counts']['test_networks']} | "
            f"{own['mape']:.2%} ({low:.2%} to {high:.2%}) | {own['within_2']:.0%} | {own['within_5']:.0%} | "
            f"{own['kendall_tau']:.3f} ({tau_low:.3f} to {tau_high:.3f}) | "
            f"{'' if ceiling is None else f'{ceiling:.2%}'} | {interval['coverage']:.0%}{held} | "
            f"{'' if width is None else f'{width:.1%}'}{mean_width} |"
        )
    return "\n".join(lines)


def _baselines(paths: list[Path]) -> str:
    """Mean error and tau of all predictors, one line a row; a star where the judged one is surely better
    in both."""
    values = [_read(path) for path in paths]
    names = list(dict.fromkeys(name for value in values for name in value["predictors"]))
    lines = [
        "Mean error and Kendall tau of every predictor on the same networks (*: the first is better in both, "
        "beyond the bootstrap interval of the paired difference):",
        "",
        f"| study, target | {' | '.join(f'`{name}`' for name in names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    for value in values:
        against = next(iter(value["predictors"].values()))["against"]
        cells = []
        for name in names:
            if name not in value["predictors"]:
                cells.append("")
                continue
            own = value["predictors"][name]["network"]
            found = against.get(name, {})
            is_beaten = bool(found) and all(
                found[figure]["verdict"] == "better" for figure in ("mape", "kendall_tau")
            )
            cells.append(f"{own['mape']:.2%}, {own['kendall_tau']:.3f}{' *' if is_beaten else ''}")
        lines.append(f"| {_row_name(value)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _row_name(value: dict[str, Any]) -> str:
    target = value["target"]
    names = " and ".join(f"`{name}`" for name in value["studies"])
    if value["judged_on"] != value["studies"]:
        names = f"{' and '.join(f'`{name}`' for name in value['judged_on'])} unseen, from {names}"
    if target["mode"] == "throughput":
        where = f"throughput, {target['streams']} streams"
    else:
        where = f"{target['threads']} thread(s)"
    if value["adapted_from"]:
        before = value["adapted_from"]["target"]
        where += f", adapted from {before['mode']} with {before['threads']} thread(s)"
    return f"{names}, {where}"


def _repeatability(paths: list[Path]) -> str:
    values = [_read(path) for path in paths]
    first = values[0]
    kinds = [
        "beside a busy process" if v["disturbed"] else f"undisturbed, run {i}"
        for i, v in enumerate(values, start=1)
    ]
    files = ", ".join(
        f"[{kind}](benchmarks/results/{path.name})" for kind, path in zip(kinds, paths, strict=True)
    )
    lines = [
        f"Between two processes the same {first['networks']} sub-networks of `{first['study']}` differ, by "
        f"estimator over the same samples (mean absolute difference, Kendall tau; {files}; rounds flagged "
        + ", ".join(f"{v['flagged_rounds']:.0%}" for v in values)
        + "):",
        "",
        "| estimator | " + " | ".join(kinds) + " |",
        "|---" * (1 + len(values)) + "|",
    ]
    for name in first["estimators"]:
        rows = [v["estimators"].get(name) for v in values]  # an earlier file has fewer
        cells = [f"{r['mean_absolute_difference']:.2%}, {r['kendall_tau']:.3f}" if r else "" for r in rows]
        label = f"**{name}**" if "ovnas" in name else name
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _sliced_oracle(paths: list[Path]) -> str:
    lines = [
        "INT8 graphs sliced from the maximal network against the slow road (extract, convert, quantise):",
        "",
        "| study | networks | same kernels, `exec_type`s | latency, slow over sliced, means of compiles | "
        "one compile of each | sliced over itself | slow over itself | slice and compile twice | slow road |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for path in paths:
        v = _read(path)
        names = ("mean_slow_over_mean_sliced", "slow_over_sliced", "sliced_over_itself", "slow_over_itself")
        spreads = " | ".join(_spread(v[name]) for name in names)
        lines.append(
            f"| [{v['study']}](benchmarks/results/{path.name}) | {v['n_networks']} | {v['same_kernels']} | "
            f"{spreads} | "
            f"{v['slice_and_compile_twice_s']:.2f} s | {v['slow_road_s']:.1f} s |"
        )
    return "\n".join(lines)


def _spread(found: dict[str, Any]) -> str:
    return (
        f"differs by {found['mean_absolute_difference']:.2%}, within 1 %: {found['within_1_percent']:.0%}, "
        f"worst {found['worst']:.1%}"
    )


def _benchmark_app(path: Path) -> str:
    v = _read(path)
    worst, kept = v["worst"], v.get("worst_of_kept")
    text = (
        f"Beside `benchmark_app` on the same IR files of `{v['study']}` "
        f"([file](benchmarks/results/{path.name})), measured latencies differ by at most "
        f"{worst['latency']:.1%} in latency mode with one stream (median with median), and by "
        f"{worst['throughput']:.1%} in throughput mode with two (mean with mean)"
    )
    if kept is not None:
        text += (
            f"; what a collection keeps, the low end of rounds in latency mode, by {kept['latency']:.1%} and "
            f"{kept['throughput']:.1%}"
        )
    return text + "."


def _kill(path: Path) -> str:
    v = _read(path)
    return (
        f"{len(v['kills'])} kills (-9) at random moments of a collection, "
        f"{sum(k['while'] != 'measuring' for k in v['kills'])} of them while its second process measured "
        f"([file](benchmarks/results/{path.name})): {v['lost']} committed networks and {v['lost_repeats']} "
        f"repetitions lost, {v['doubled']} there twice, {v['cut']} incomplete, {v['corrupt']} files corrupt."
    )


def _mlperf_v20(path: Path) -> str:
    """One column a space and share of the published network's MACs, one line a published network."""
    search = _read(path)["search"]
    mode = search["modes"]["latency"]
    columns = list(dict.fromkeys((c["space"], c["least_share"]) for c in search["chosen"]))
    lines = [
        "Within the MACs of the three ResNet-50 sub-networks that were submitted to MLPerf Inference v2.0, "
        "what a search through millions of predicted architectures finds: speed-up over INT8 ResNet-50, "
        "measured in interleaved rounds with one stream and one thread; weights are random, only speed is "
        "compared "
        f"([file](benchmarks/results/{path.name})):",
        "",
        "| MACs of | fewer than ResNet-50's | published network | "
        + " | ".join(f"{space}, {share:.0%} to 100% of its MACs" for space, share in columns)
        + " |",
        "|" + "---|" * (3 + len(columns)),
    ]
    for name, one in mode["published"].items():
        found = {
            (c["space"], c["least_share"]): f["speedup"]
            for c, f in zip(search["chosen"], mode["found"], strict=True)
            if c["instead_of"] == name
        }
        fewer = search["macs"]["TV"] / search["macs"][name]
        cells = [f"{fewer:.2f}x", f"{one['speedup']:.2f}x", *(f"{found[c]:.2f}x" for c in columns)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def updated(text: str) -> str:
    """README's text with the figures between its markers."""
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{figures()}\n{END}{tail}"


if __name__ == "__main__":
    before = README.read_text(encoding="utf-8")
    after = updated(before)
    if "--check" in sys.argv:
        sys.exit(before != after and "README.md is not what results/ say; run python benchmarks/readme.py")
    README.write_text(after, encoding="utf-8")
