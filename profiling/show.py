"""`python -m profiling.show`: a measured network kernel by kernel, as a terminal table and an HTML page."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet import cli
from supernet.errors import OvnasError, nearest
from supernet.study import Study

if TYPE_CHECKING:
    from rich.console import Console

    from profiling.portrait import Portrait
    from profiling.record import NetworkRecord
    from profiling.store import Store
    from supernet.page import Page

COLUMNS = ("layer", "kind", "shapes", "us", "share", "M MACs", "GOP/s", "of peak", "executed as")
# What a terminal has no room for.
N_TERMINAL = 8
EXPORTS = ("parquet", "csv")
MAX_NAME = 180


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("profiling.show", "Show a measured network kernel by kernel, or export all kernels.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--architecture", metavar="TEXT", help="the network of this text form")
    what.add_argument("--network", type=int, metavar="N", help="the N-th of --list (default: the largest)")
    what.add_argument("--list", action="store_true", help="list the measured networks")
    what.add_argument("--export", choices=EXPORTS, help="write all kernels of all networks, a row each")
    parser.add_argument("--to", type=Path, metavar="FILE", help="where to export to")
    return cli.run(show, parser.parse_args(argv))


def show(arguments: argparse.Namespace) -> dict[str, Any]:
    """Does what the options ask for; returns its figures."""
    from profiling.collect import store_path
    from profiling.store import Store

    if arguments.to is not None and arguments.export is None:
        raise OvnasError("--to says where to export to: give --export parquet or --export csv with it")
    study = Study.load(arguments.study)
    out = cli.console(arguments)
    path = store_path(study, arguments.runs_dir)
    with Store.open(path) as store:
        records = store.records()
        if not records:
            raise OvnasError(f"{path} holds no network yet; measure some with python -m profiling.collect")
        if arguments.export is not None:
            return _export(store, records, arguments.export, arguments.to, out)
        if arguments.list:
            return _list(study, records, out)
        record = choose(records, arguments.architecture, arguments.network)
        return _show(study, store, record, path.parent, out)


def choose(
    records: Sequence[NetworkRecord], architecture: str | None = None, number: int | None = None
) -> NetworkRecord:
    """The network of a text form, or the number-th in the order of measurement (from 1), or the largest.

    Raises OvnasError, naming the nearest, if there is none such.
    """
    if architecture is not None:
        found = {str(r.architecture): r for r in records}
        if architecture not in found:
            hint = nearest(architecture, found) if len(found) < 10 else "; see --list"
            raise OvnasError(f"there is no measured network {architecture!r}{hint}")
        return found[architecture]
    if number is not None:
        if not 1 <= number <= len(records):
            raise OvnasError(f"--network must be 1 to {len(records)}, but got {number}; see --list")
        return records[number - 1]
    return max(records, key=lambda r: r.macs)


def page_name(architecture: str) -> str:
    """A file name for a network's page, no longer than file systems allow."""
    if len(architecture) > MAX_NAME:
        digest = hashlib.sha256(architecture.encode()).hexdigest()[:12]
        architecture = f"{architecture[: MAX_NAME - 13]}-{digest}"
    return f"network-{architecture}.html"


def _list(study: Study, records: Sequence[NetworkRecord], out: Console) -> dict[str, Any]:
    from rich.table import Table

    table = Table(title=f"{len(records)} measured networks of {study.name}", title_justify="left")
    for column in ("N", "ms", "million MACs", "kernels", "flagged rounds", "measured again"):
        table.add_column(column, justify="right")
    table.add_column("architecture", overflow="fold")  # whole, for --architecture
    networks = []
    for number, r in enumerate(records, start=1):
        name, again = str(r.architecture), r.repeat_us / r.latency_us - 1
        repeat = f"{again:+.2%}" if again == again else ""
        table.add_row(
            str(number), f"{r.latency_us / 1e3:.3f}", f"{r.macs / 1e6:.1f}", str(len(r.kernels)),
            f"{r.n_flagged}/{r.n_rounds}", repeat, name,
        )  # fmt: skip
        networks.append({"number": number, "architecture": name, "latency_us": r.latency_us, "macs": r.macs})
    out.print(table)
    return {"study": study.name, "networks": networks}


def _export(
    store: Store, records: Sequence[NetworkRecord], kind: str, to: Path | None, out: Console
) -> dict[str, Any]:
    from profiling.export import kernel_table, write_table

    path = to or store.path.with_name(f"kernels.{kind}")
    table = kernel_table(records, store.meta)
    write_table(table, path, kind)
    out.print(f"{len(table):,} kernels of {len(records)} networks: {path}", soft_wrap=True)
    return {"file": str(path), "networks": len(records), "kernels": len(table)}


def _show(study: Study, store: Store, record: NetworkRecord, folder: Path, out: Console) -> dict[str, Any]:
    from profiling.machine import conditions
    from profiling.portrait import make_portrait

    peak, said = _peak(store, out)
    target = store.meta["target"]
    raw = next(n for n in store.networks() if n.architecture == record.architecture)
    streams = target["streams"] if target["mode"] == "throughput" else 1
    portrait = make_portrait(record, raw, peak, level=store.level, busy_streams=streams)
    path = folder / page_name(portrait.architecture)
    where = conditions(store.meta["machine"], target)
    make_page(portrait, study.name, where, said).write(path)
    rows = [row[:N_TERMINAL] for row in rows_of(portrait)]
    cli.print_table(out, f"{portrait.architecture} of {study.name}", COLUMNS[:N_TERMINAL], rows)
    out.print("; ".join(f"{what}: {value}" for value, what in facts_of(portrait)), soft_wrap=True)
    out.print(said)
    out.print(f"page: {path}", soft_wrap=True)
    return {"study": study.name, "page": str(path), **portrait.to_json()}


def _peak(store: Store, out: Console) -> tuple[dict[str, float] | None, str]:
    """This machine's peak, and where it is from: measured with the networks, or else now."""
    from profiling.lock import measuring
    from profiling.machine import describe_difference, read_machine
    from profiling.peak import measure_peak

    stored = store.meta.get("peak")
    if stored:
        return {str(key): float(value) for key, value in stored.items()}, "The peak is of the collection."
    difference = describe_difference(store.meta["machine"], read_machine())
    if difference:
        return None, f"No peak: the networks were measured elsewhere ({difference})."
    try:
        with measuring(), out.status("measuring this machine's peak"):
            return measure_peak(store.meta["target"]), "The peak was measured now, the networks before."
    except OvnasError as error:
        return None, f"No peak: {error}."


def facts_of(portrait: Portrait) -> list[tuple[str, str]]:
    """The headline figures: (value, what it is)."""
    facts = [
        (f"{portrait.latency_us / 1e3:.3f} ms", "latency, end to end"),
        (f"{portrait.gops:,.0f} GOP/s", "achieved"),
    ]
    if portrait.peak_share is not None:
        facts.append((f"{portrait.peak_share:.0%}", "of the INT8 peak here"))
    facts.append((f"{portrait.unexplained_us / portrait.latency_us:+.1%}", "of it no kernel explains"))
    facts.append((f"{portrait.n_flagged} of {portrait.n_rounds}", "rounds flagged"))
    if portrait.repeat_us is not None:
        facts.append((f"{portrait.repeat_us / portrait.latency_us - 1:+.2%}", "in a second process"))
    return facts


def rows_of(portrait: Portrait) -> list[list[str]]:
    """The table of kernels in execution order, ending in the fixed cost of a call and the whole."""
    rows = [
        [k.layer, k.kind, k.shapes, f"{k.time_us:.1f}", f"{k.share:.1%}",
         f"{k.macs / 1e6:.2f}" if k.macs else "", f"{k.gops:.1f}" if k.macs else "", _share(k.peak_share),
         k.exec_type]
        for k in portrait.kernels
    ]  # fmt: skip
    fixed = portrait.overhead_us
    share = f"{fixed / portrait.latency_us:.1%}"
    rows.append(["(cost of a call)", "", "", f"{fixed:.1f}", share, "", "", "", ""])
    rows.append(
        ["network", "", "", f"{portrait.latency_us:.1f}", "100.0%", f"{portrait.macs / 1e6:.2f}",
         f"{portrait.gops:.1f}", _share(portrait.peak_share), ""]
    )  # fmt: skip
    return rows


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def make_page(portrait: Portrait, study: str, conditions: str, said: str) -> Page:
    """The network's page. `said` is where the peak is from."""
    from profiling import pictures
    from supernet.page import Page

    page = Page(f"A network of {study}", conditions)
    page.text(portrait.architecture)
    page.facts(facts_of(portrait))
    page.heading("Layers")
    page.text(
        "Every kernel that OpenVINO executes, from the input downwards, by the author's name of its layer. "
        "Times are the kernels' counters, scaled so that with the fixed cost of a call they sum to the "
        f"latency measured without counters. As read, they differ by {portrait.counters_difference:+.1%}; "
        f"{portrait.unexplained_us:+.1f} us of the latency had no counter to explain them before scaling."
    )
    page.figures((pictures.layer_bars(portrait), "Hover over a bar for its shapes and how it is executed."))
    page.heading("Against this machine's roof")
    without = [k for k in portrait.kernels if not k.macs]
    page.text(
        f"{said} Left of the corner memory is the limit, right of it the cores; points far below have shapes "
        "that their units cannot fill, points above the slanted line read from the caches. Padding counts as "
        "operations: kernels on small maps, which leave it out, seem to exceed the peak."
    )
    page.figures(
        (
            pictures.roofline(portrait),
            "A point a kernel, its area by its time; hover over it for its layer. Bytes are inputs, weights "
            f"and output, each touched once. {len(without)} kernel(s) without MACs, "
            f"{sum(k.share for k in without):.1%} of the latency, have no place here.",
        )
    )
    page.heading("Stability")
    page.text(
        "The network's latency relative to the anchor network's in the same round: what drifts with the "
        "machine cancels. The dotted line is the estimate, the low end of the network's rounds over that of "
        "the anchor's; the full line is the median of the rounds not flagged, the band their middle half."
    )
    page.figures((pictures.stability(portrait), "Hover over a round for its ratio."))
    page.heading("Table")
    page.table(COLUMNS, rows_of(portrait))
    return page


if __name__ == "__main__":
    sys.exit(main())
