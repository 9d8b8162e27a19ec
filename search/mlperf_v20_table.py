"""The published sub-networks of MLPerf Inference v2.0 in the terminal: here, and as they were submitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search.published import BASELINE
from supernet import cli

if TYPE_CHECKING:
    from rich.console import Console

    from search.published import Published

__all__ = ["print_table"]


def _figure(value: float | None, form: str) -> str:
    return "none" if value is None else format(value, form)


def _between(ends: list[float | None]) -> str:
    low, high = ends
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _p99(one: dict[str, Any]) -> str:
    return f"{one['summary']['percentiles_ms']['99']:.1f}" if "summary" in one else ""


def print_table(value: dict[str, Any], published: dict[str, Published], out: Console) -> None:
    """What a value of mlperf_v20.json says, part by part."""
    import numpy as np

    base = published[BASELINE]
    note = " (quick: not valid for a submission)" if value["is_quick"] else ""
    if "offline" in value:
        own = value["offline"]
        rows = []
        for name, network in published.items():
            ratio, (low, high) = own["ratios"][name]["value"], own["ratios"][name]["interval"]
            ends = "" if low is None or name == BASELINE else f"{low:.3f} to {high:.3f}"
            theirs = network.offline_sps / base.offline_sps
            rows.append(
                [network.label, f"{network.macs / 1e6:.0f}", f"{np.median(own['samples_per_s'][name]):.1f}",
                 f"{network.offline_sps:.1f}", _figure(ratio, ".3f"), ends, f"{theirs:.3f}",
                 "" if ratio is None else f"{ratio / theirs - 1:+.1%}", f"{base.macs / network.macs:.2f}"]
            )  # fmt: skip
        columns = ("network", "million MACs", "samples/s here", "published", "ratio here", "95 % interval",
                   "ratio published", "difference", "fewer MACs")  # fmt: skip
        cli.print_table(out, f"Offline, runs of {own['seconds_a_run']:g} s in turn{note}", columns, rows)
        out.print(
            f"{own['rounds']} rounds in random order, {own['runs_valid'][0]} of {own['runs_valid'][1]} runs "
            "VALID under these settings; ratios are over the rounds in which both are"
        )
        if "by_the_rules" in own:
            rows = [
                [published[name].label, f"{one['value']:.1f}", one["verdict"],
                 f"{one['value'] / own['by_the_rules'][BASELINE]['value']:.3f}"]
                for name, one in own["by_the_rules"].items()
            ]  # fmt: skip
            cli.print_table(
                out, "Offline by the rules, one run each", ("network", "samples/s", "LoadGen", "ratio"), rows
            )
    if "server" in value:
        own = value["server"]
        rows = [
            [network.label, _figure(own["networks"][name]["value"], ".1f"), f"{network.server_qps:.1f}",
             own["networks"][name]["verdict"],
             _figure(own["ratios"][name]["value"], ".3f"), _between(own["ratios"][name]["interval"]),
             f"{network.server_qps / base.server_qps:.3f}", _p99(own["networks"][name])]
            for name, network in published.items()
        ]  # fmt: skip
        heads = ("network", "samples/s here", "published", "LoadGen", "ratio here", "between",
                 "ratio published", "p99 ms")  # fmt: skip
        cli.print_table(out, f"Server, p99 <= {own['bound_ms']:g} ms{note}", heads, rows)
        out.print(f"bound: {own['bound_reason']}", soft_wrap=True)
        out.print(
            "one search a network, one after the other; between: what the lowest rates that were refused "
            "leave open",
            soft_wrap=True,
        )
        for name, one in own["networks"].items():
            if "reason" in one:
                out.print(f"{published[name].label}: {one['reason']}", soft_wrap=True)
    if "search" in value:
        from search.beyond import print_beyond

        print_beyond(value["search"], out)
    if value["weights"] == "random":
        out.print("weights are random: only speed is compared, accuracy is not measured")
