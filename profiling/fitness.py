"""What makes a machine unfit for measuring, and what can be done about it.

A pure function of facts: those of `machine.read_machine` and `activity.read_activity` in one dict.
A fact that is missing or unknown gives no finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from supernet.vnni import has_vnni

__all__ = ["Finding", "find_unfit"]

Facts = dict[str, Any]

# Load above this share of the CPUs is another's work.
MAX_LOAD_SHARE = 0.25
MIN_MEMORY_GIB = 3.0
MAX_STEAL_PERCENT = 2.0
NEAR_LIMIT_C = 8.0


@dataclass(frozen=True)
class Finding:
    """Something that disturbs measuring. A warning spoils the numbers; a note says how to read them."""

    severity: Literal["warning", "note"]
    what: str
    remedy: str


Rule = Callable[[Facts, int], Iterator[Finding]]


def find_unfit(facts: Facts, threads: int = 1) -> list[Finding]:
    """Everything that speaks against measuring with `threads` threads here, warnings first."""
    found = [finding for rule in _RULES for finding in rule(facts, threads)]
    return sorted(found, key=lambda finding: finding.severity != "warning")


def _instructions(facts: Facts, threads: int) -> Iterator[Finding]:
    flags = facts.get("flags")
    if flags is not None and not has_vnni(flags):
        yield Finding(
            "warning",
            "no VNNI: INT8 may be slower than FP32 here, and pairs of u8*s8 products saturate at 16 bits, "
            "which can cost accuracy",
            "measure on a CPU with AVX512-VNNI, AVX-VNNI or AMX, or compare INT8 with FP32 in both first",
        )


def _clock(facts: Facts, threads: int) -> Iterator[Finding]:
    governor = facts.get("governor")
    if governor not in (None, "unknown", "performance"):
        yield Finding(
            "warning",
            f"frequency governor {governor}: the clock follows the load",
            "sudo cpupower frequency-set -g performance",
        )
    if facts.get("turbo"):
        yield Finding(
            "note",
            "turbo is on: the clock depends on heat and on how many cores are busy",
            "for steady clocks: echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo "
            "(AMD: echo 0 to cpufreq/boost)",
        )


def _cores(facts: Facts, threads: int) -> Iterator[Finding]:
    logical, cores = facts.get("affinity_cpus"), facts.get("affinity_cores")
    if logical and cores and threads > cores:
        yield Finding(
            "warning",
            f"{threads} threads on {cores} physical core(s): SMT siblings share a core's units",
            f"[target] threads = {cores} (0: as many as physical cores are allowed)",
        )
    elif logical and cores and logical > cores:
        yield Finding(
            "note",
            f"the {logical} allowed CPUs are SMT siblings on {cores} physical core(s)",
            "keep the siblings idle while measuring; threads are counted in physical cores",
        )
    kinds = facts.get("core_kinds") or {}
    if len(kinds) > 1:
        which = ", ".join(f"{name} {cpus}" for name, cpus in kinds.items())
        yield Finding(
            "warning",
            f"the allowed CPUs are fast and small cores ({which}): times depend on where a thread runs",
            f"taskset -c {kinds['cpu_core']} <command>",
        )
    if facts.get("foreign_siblings"):
        yield Finding(
            "warning",
            f"SMT siblings of our CPUs (CPU {facts['foreign_siblings']}) are open to others",
            "give this process whole cores (taskset, --cpuset-cpus), or switch SMT off",
        )


def _quota(facts: Facts, threads: int) -> Iterator[Finding]:
    quota, logical = facts.get("cgroup_cpus"), facts.get("affinity_cpus")
    if not quota or not logical:
        return
    if quota < logical or quota != int(quota):
        yield Finding(
            "warning",
            f"a quota of {quota:g} CPU(s) on {logical}: what is beyond it is paused for parts of 100 ms",
            f"pin in place of a quota: --cpuset-cpus for whole CPUs, without --cpus (here {int(quota) or 1})",
        )


def _load(facts: Facts, threads: int) -> Iterator[Finding]:
    load, cpus = facts.get("load_1m") or 0.0, facts.get("logical_cpus") or 1
    busy = facts.get("busy") or []
    if busy:
        names = ", ".join(f"{p['name']} (process {p['pid']}, {p['percent']} % of a CPU)" for p in busy)
        yield Finding("warning", f"others are at work: {names}", "stop them, or wait until they end")
    elif load > MAX_LOAD_SHARE * cpus:
        yield Finding(
            "warning",
            f"load average {load:g} on {cpus} CPU(s): others were at work in the last minute",
            "wait a minute; top shows who works",
        )


def _hypervisor(facts: Facts, threads: int) -> Iterator[Finding]:
    if (steal := facts.get("steal_percent") or 0.0) > MAX_STEAL_PERCENT:
        yield Finding(
            "warning",
            f"the hypervisor takes {steal:g} % of the CPU time away",
            "take a machine with dedicated CPUs, or another time",
        )
    if (name := facts.get("hypervisor")) not in (None, "none", "unknown"):
        kind = "virtual machine" if name == "unnamed" else f"virtual machine ({name})"
        yield Finding(
            "note",
            f"{kind}: neighbours change its speed by several per cent within seconds",
            "compare ratios within one run only, never absolute latencies of two",
        )


def _memory(facts: Facts, threads: int) -> Iterator[Finding]:
    if (nodes := facts.get("affinity_numa_nodes") or 1) > 1:
        yield Finding(
            "warning" if threads > 1 else "note",
            f"the allowed CPUs lie on {nodes} NUMA nodes: memory may be remote",
            "numactl --cpunodebind=0 --membind=0 <command>",
        )
    free = facts.get("memory_available_gib")
    if free is not None and free < MIN_MEMORY_GIB:
        yield Finding(
            "warning",
            f"{free:g} GiB of memory are available; collecting takes up to {MIN_MEMORY_GIB:g} GiB",
            "free some memory: swapping would be measured as latency",
        )


def _heat(facts: Facts, threads: int) -> Iterator[Finding]:
    now, limit = facts.get("temperature_c"), facts.get("temperature_high_c")
    if now and limit and now > limit - NEAR_LIMIT_C:
        yield Finding(
            "warning",
            f"{now:g} degrees C, near the limit of {limit:g}: the clock is about to fall",
            "let it cool down, and see to its fans",
        )
    if throttled := facts.get("throttled"):
        yield Finding(
            "note",
            f"cores were slowed down for their heat {throttled} time(s) since the machine was started",
            "better cooling; look at the flagged rounds of a collection",
        )


_RULES: tuple[Rule, ...] = (
    _instructions, _clock, _cores, _quota, _load, _hypervisor, _memory, _heat,
)  # fmt: skip
