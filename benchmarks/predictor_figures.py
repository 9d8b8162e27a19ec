"""What results/ say of predictors, in Markdown; `paths` and `path` are files of results/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from results_file import machine_text, read, where

__all__ = ["baselines", "compiled_speed", "predictor_accuracy", "resnet50"]


def resnet50(path: Path) -> str:
    value = read(path)
    collected, minutes = value["collect"], value["steps_s"]["collect"] / 60
    lines = [
        f"**`resnet50`** at 224 px on {machine_text(value)}: {collected['networks']} networks and "
        f"{collected['kernels']:,} kernels measured in {minutes:.1f} minutes (preparing one network takes "
        f"{collected['prepare_s']:.2f} s; {collected['peak_memory_gib']:.1f} GiB of memory; counters "
        f"as read differ by {collected['counters_difference']:+.1%} from end to end); "
        f"judged on {value['report']['counts']['test_networks']} networks held out "
        f"([file]({where(path)})):",
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


def predictor_accuracy(paths: list[Path]) -> str:
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
        value = read(path)
        found = next(iter(value["predictors"].values()))
        own, spread, interval = found["network"], found["network_interval"], found["interval"]
        low, high = spread["mape"]
        tau_low, tau_high = spread["kendall_tau"]
        ceiling = value["ceiling"]["mape"]
        width, splits = interval["width"], value.get("splits")
        held = f" ({splits['coverage']:.1%} of {splits['judgements']})" if splits else ""
        mean_width = f" ({splits['width']:.1%})" if splits and splits["width"] is not None else ""
        lines.append(
            f"| {_row_name(value)} ([file]({where(path)})) | "
            f"{value['counts']['train_networks']} | {value['counts']['test_networks']} | "
            f"{own['mape']:.2%} ({low:.2%} to {high:.2%}) | {own['within_2']:.0%} | {own['within_5']:.0%} | "
            f"{own['kendall_tau']:.3f} ({tau_low:.3f} to {tau_high:.3f}) | "
            f"{'' if ceiling is None else f'{ceiling:.2%}'} | {interval['coverage']:.0%}{held} | "
            f"{'' if width is None else f'{width:.1%}'}{mean_width} |"
        )
    return "\n".join(lines)


def baselines(paths: list[Path]) -> str:
    """Mean error and tau of all predictors, one line a row; a star where the judged one is surely better
    in both."""
    values = [read(path) for path in paths]
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


def compiled_speed(path: Path) -> str:
    """Architectures a second."""
    value = read(path)
    return (
        f"Compiled over the space of `{value['study']}`, `{value['predictor']}` scores "
        f"{value['architectures_per_s'] / 1e6:.1f} million architectures a second on one core "
        f"([file]({where(path)}))."
    )
