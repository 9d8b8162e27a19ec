"""Where a number was measured: the facts of this machine, and which of them must agree.

Numbers of two machines are never mixed: every fact with `must_agree` is compared first.
`python -m profiling.machine` prints them, and what here is unfit for measuring.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import psutil

from profiling import cpu
from supernet import cli, vnni
from supernet.errors import OvnasError
from supernet.study import Study, TargetSection

if TYPE_CHECKING:
    from rich.console import Console

    from profiling.fitness import Finding
    from profiling.target import Target

__all__ = [
    "FACTS",
    "allowed_threads",
    "conditions",
    "cpu_name",
    "default_threads",
    "describe_difference",
    "describe_setting_difference",
    "describe_target",
    "has_vnni",
    "read_machine",
    "read_target",
    "throughput_target",
]

# CPU flags that decide how INT8 runs.
_FLAGS = (
    "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8",
    "amx_bf16",
)  # fmt: skip


@dataclass(frozen=True)
class Fact:
    """One property of a machine, its unit, how it is read, and whether numbers may only be compared if it
    agrees. Facts do not change while the machine runs undisturbed: see `activity.py` for what does."""

    name: str
    unit: str
    read: Callable[[], Any]
    must_agree: bool


def _openvino_version() -> str:
    import openvino

    return str(openvino.get_version())


# The one table of what must agree before rows may be compared.
FACTS = (
    Fact("cpu_model", "", lambda: cpu.cpuinfo("model name") or platform.processor(), True),
    Fact("cpu_family", "family.model", lambda: f"{cpu.cpuinfo('cpu family')}.{cpu.cpuinfo('model')}", True),
    Fact("stepping", "", lambda: cpu.cpuinfo("stepping"), False),
    Fact("microcode", "", lambda: cpu.cpuinfo("microcode") or cpu.UNKNOWN, False),
    Fact("flags", "", lambda: sorted(set(_FLAGS) & set(cpu.cpuinfo("flags").split())), True),
    Fact("l1d_cache", "a core", lambda: cpu.cache(1), True),
    Fact("l2_cache", "a core", lambda: cpu.cache(2), True),
    Fact("l3_cache", "shared", lambda: cpu.cache(3), True),
    Fact("openvino", "", _openvino_version, True),
    Fact("sockets", "", cpu.sockets, False),
    Fact("physical_cpus", "cores", lambda: psutil.cpu_count(logical=False), False),
    Fact("logical_cpus", "CPUs", os.cpu_count, False),
    Fact("smt", "", cpu.is_smt_on, False),
    Fact("numa_nodes", "", cpu.numa_nodes, False),
    Fact("affinity", "allowed CPUs", lambda: cpu.write_list(cpu.affinity()), False),
    Fact("affinity_cpus", "CPUs", lambda: len(cpu.affinity()), False),
    Fact("affinity_cores", "cores", lambda: cpu.physical_cores(cpu.affinity()), False),
    Fact("affinity_numa_nodes", "nodes", lambda: cpu.numa_nodes(cpu.affinity()), False),
    Fact("foreign_siblings", "CPUs", lambda: cpu.write_list(cpu.foreign_siblings(cpu.affinity())), False),
    Fact("core_kinds", "allowed CPUs", lambda: cpu.core_kinds(cpu.affinity()), False),
    Fact("cgroup_cpus", "CPUs", cpu.quota, False),
    Fact("governor", "", lambda: cpu.governor(cpu.affinity()), False),
    Fact("turbo", "", cpu.has_turbo, False),
    Fact("hypervisor", "", cpu.hypervisor, False),
    Fact("memory_gib", "GiB", lambda: round(psutil.virtual_memory().total / 2**30, 1), False),
    Fact("huge_pages", "transparent", cpu.huge_pages, False),
    Fact("kernel", "", lambda: platform.release().split("-")[0], False),
    Fact("python", "", platform.python_version, False),
)


def read_machine() -> dict[str, Any]:
    """Every fact of this machine, by name, as JSON values."""
    return {fact.name: fact.read() for fact in FACTS}


def read_target(section: TargetSection) -> Target:
    """The study's target with its defaults filled in for this machine.

    Raises OvnasError if it asks for more threads than this process may use, or more streams than threads.
    """
    allowed = allowed_threads()
    if section.threads > allowed:
        raise OvnasError(
            f"[target] threads is {section.threads}, but this process may use {allowed} CPU(s); take at most "
            f"{allowed}, or 0 for one a physical core"
        )
    threads = section.threads or default_threads()
    streams = section.streams or (threads if section.mode == "throughput" else 1)
    if streams > threads:
        raise OvnasError(
            f"[target] streams must be <= threads, but got {streams} streams and {threads} thread(s)"
        )
    return {"mode": section.mode, "threads": threads, "streams": streams, "batch": section.batch}


def throughput_target(target: Target) -> Target:
    """The target with one stream for each physical core that this process may use."""
    n = default_threads()
    return {**target, "mode": "throughput", "threads": n, "streams": n}


def allowed_threads() -> int:
    """Threads that affinity and cgroup quota allow: the most that may be asked for."""
    return _within_quota(len(cpu.affinity()))


def default_threads() -> int:
    """As `allowed_threads`, but one a physical core: SMT siblings share the units that INT8 needs."""
    return _within_quota(cpu.physical_cores(cpu.affinity()))


def _within_quota(cpus: int) -> int:
    quota = cpu.quota()
    return max(1, min(cpus, int(quota) if quota else cpus))


def has_vnni(machine: dict[str, Any]) -> bool:
    """Whether INT8 dot products are accelerated."""
    return vnni.has_vnni(machine["flags"])


def conditions(machine: dict[str, Any], target: Target) -> str:
    """Machine and target in one line, for the head of a page."""
    version = str(machine["openvino"]).split("-")[0]
    return (
        f"{cpu_name(machine)}, {machine['logical_cpus']} CPUs, OpenVINO {version}; INT8, "
        f"{describe_target(target)}"
    )


def cpu_name(machine: dict[str, Any]) -> str:
    """The CPU's model, with its family where a virtual machine says no more than "AMD EPYC"."""
    model = str(machine["cpu_model"])
    return model if any(map(str.isdigit, model)) else f"{model} (family {machine['cpu_family']})"


def describe_target(target: Target) -> str:
    """A target in a few words."""
    streams = f", {target['streams']} stream(s)" if target["mode"] == "throughput" else ""
    return f"{target['threads']} thread(s){streams}, batch {target['batch']}, {target['mode']} mode"


def describe_difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """The facts that must agree and do not, or an empty text."""
    return "; ".join(
        f"{fact.name}: {theirs.get(fact.name)!r} there, {ours.get(fact.name)!r} here"
        for fact in FACTS
        if fact.must_agree and theirs.get(fact.name) != ours.get(fact.name)
    )


def describe_setting_difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """As `describe_difference`, of values that hold a machine and a target, which must agree as well."""
    found = [describe_difference(theirs["machine"], ours["machine"])]
    if theirs["target"] != ours["target"]:
        found.append(f"target {theirs['target']} there, {ours['target']} here")
    return "; ".join(filter(None, found))


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(
        "profiling.machine", "Print this machine's facts, and what here is unfit for measuring."
    )
    return cli.run(show_machine, parser.parse_args(argv))


def show_machine(arguments: argparse.Namespace) -> dict[str, Any]:
    """Prints facts, OpenVINO's effective properties for the study's target, and findings; returns them."""
    from profiling.activity import read_activity
    from profiling.fitness import Finding, find_unfit
    from profiling.properties import effective_properties, tiny_model
    from profiling.target import compile_model

    section = Study.load(arguments.study).target
    activity = read_activity()  # first: what follows is work of our own
    facts = read_machine()
    findings = []
    try:
        target = read_target(section)
    except OvnasError as error:
        remedy = f"[target] threads <= {allowed_threads()}, streams <= threads (0: the default)"
        findings.append(Finding("warning", str(error), remedy))
        target = read_target(TargetSection(mode=section.mode, batch=section.batch, threads=0))
    properties = effective_properties(compile_model(tiny_model(), target))
    findings += find_unfit({**facts, **activity}, target["threads"])
    _print(cli.console(arguments), facts, activity, properties, findings)
    return {
        "facts": facts,
        "activity": activity,
        "target": target,
        "properties": properties,
        "findings": [asdict(finding) for finding in findings],
    }


def _print(
    out: Console,
    facts: dict[str, Any],
    activity: dict[str, Any],
    properties: dict[str, Any],
    findings: list[Finding],
) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="this machine", title_justify="left")
    for column in ("fact", "value", "unit", "must agree"):
        table.add_column(column, overflow="fold")
    for fact in FACTS:
        table.add_row(fact.name, _shown(facts[fact.name]), fact.unit, "yes" if fact.must_agree else "")
    table.add_section()
    for name, value in activity.items():
        table.add_row(name, _shown(value), "", "")
    out.print(table)
    table = Table(title="OpenVINO's effective properties for this target", title_justify="left")
    for column in ("property", "value"):
        table.add_column(column, overflow="fold")
    for name, value in properties.items():
        table.add_row(name, _shown(value))
    out.print(table)
    for finding in findings:
        style = "bold red" if finding.severity == "warning" else "cyan"
        out.print(Text.assemble((f"{finding.severity}: ", style), finding.what))
        out.print(Text(f"    remedy: {finding.remedy}", style="dim"))
    n = sum(finding.severity == "warning" for finding in findings)
    out.print(f"{n} warning(s): measuring here is {'not reliable' if n else 'fine'}")


def _shown(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {text}" for name, text in value.items())
    if isinstance(value, list):
        return ", ".join(
            f"{v['name']} ({v['pid']}): {v['percent']} %" if isinstance(v, dict) else str(v) for v in value
        )
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
