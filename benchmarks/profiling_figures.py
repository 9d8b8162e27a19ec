"""What results/ say of measuring, in Markdown; `paths` and `path` are files of results/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from results_file import cpu_text, read, where

__all__ = ["benchmark_app", "kill", "repeatability", "sliced_oracle"]


def repeatability(paths: list[Path]) -> str:
    values = [read(path) for path in paths]
    first = values[0]
    kinds = [
        "beside a busy process" if v["disturbed"] else f"undisturbed, run {i}"
        for i, v in enumerate(values, start=1)
    ]
    files = ", ".join(f"[{kind}]({where(path)})" for kind, path in zip(kinds, paths, strict=True))
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


def sliced_oracle(paths: list[Path]) -> str:
    lines = [
        "INT8 graphs sliced from the maximal network against the slow road (extract, convert, quantise):",
        "",
        "| study | networks | same kernels, `exec_type`s | latency, slow over sliced, means of compiles | "
        "one compile of each | sliced over itself | slow over itself | slice and compile twice | slow road |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for path in paths:
        v = read(path)
        names = ("mean_slow_over_mean_sliced", "slow_over_sliced", "sliced_over_itself", "slow_over_itself")
        spreads = " | ".join(_spread(v[name]) for name in names)
        lines.append(
            f"| [{v['study']}]({where(path)}) | {v['n_networks']} | {v['same_kernels']} | "
            f"{spreads} | "
            f"{v['slice_and_compile_twice_s']:.2f} s | {v['slow_road_s']:.1f} s |"
        )
    return "\n".join(lines)


def _spread(found: dict[str, Any]) -> str:
    return (
        f"differs by {found['mean_absolute_difference']:.2%}, within 1 %: {found['within_1_percent']:.0%}, "
        f"worst {found['worst']:.1%}"
    )


def benchmark_app(path: Path) -> str:
    v = read(path)
    worst, kept = v["worst"], v.get("worst_of_kept")
    text = (
        f"Beside `benchmark_app` on the same IR files of `{v['study']}` on {cpu_text(v)} "
        f"([file]({where(path)})), measured latencies differ by at most "
        f"{worst['latency']:.1%} in latency mode with one stream (median with median), and by "
        f"{worst['throughput']:.1%} in throughput mode with two (mean with mean)"
    )
    if kept is not None:
        text += (
            f"; what a collection keeps, the low end of rounds in latency mode, by {kept['latency']:.1%} and "
            f"{kept['throughput']:.1%}"
        )
    return text + "."


def kill(path: Path) -> str:
    v = read(path)
    return (
        f"{len(v['kills'])} kills (-9) at random moments of a collection, "
        f"{sum(k['while'] != 'measuring' for k in v['kills'])} of them while its second process measured "
        f"([file]({where(path)})): {v['lost']} committed networks and {v['lost_repeats']} "
        f"repetitions lost, {v['doubled']} there twice, {v['cut']} incomplete, {v['corrupt']} files corrupt."
    )
