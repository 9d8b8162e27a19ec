"""Where a number was measured: the facts of this machine, and which of them must agree.

Numbers of two machines are never mixed: every fact with `must_agree` is compared first.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from supernet.errors import OvnasError
from supernet.study import TargetSection

__all__ = [
    "FACTS",
    "allowed_threads",
    "conditions",
    "describe_difference",
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
    """One property of a machine, how it is read, and whether numbers may only be compared if it agrees."""

    name: str
    read: Callable[[], Any]
    must_agree: bool


def _cpuinfo(key: str) -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    except OSError:
        pass
    return ""


def _cache(level: int) -> str:
    for index in range(8):
        folder = Path(f"/sys/devices/system/cpu/cpu0/cache/index{index}")
        try:
            found = (folder / "level").read_text().strip(), (folder / "type").read_text().strip()
            if found[0] == str(level) and found[1] in ("Unified", "Data"):
                return (folder / "size").read_text().strip()
        except OSError:
            continue
    return "unknown"


def _openvino_version() -> str:
    import openvino

    return str(openvino.get_version())


def _quota() -> float | None:
    """CPUs that the cgroup allows, or None where it sets no limit."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        return None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown"


FACTS = (
    Fact("cpu_model", lambda: _cpuinfo("model name") or platform.processor(), True),
    Fact("cpu_family", lambda: f"{_cpuinfo('cpu family')}.{_cpuinfo('model')}", True),
    Fact("flags", lambda: sorted(set(_FLAGS) & set(_cpuinfo("flags").split())), True),
    Fact("l1d_cache", lambda: _cache(1), True),
    Fact("l2_cache", lambda: _cache(2), True),
    Fact("l3_cache", lambda: _cache(3), True),
    Fact("openvino", _openvino_version, True),
    Fact("logical_cpus", os.cpu_count, False),
    Fact("physical_cpus", lambda: psutil.cpu_count(logical=False), False),
    Fact("memory_gib", lambda: round(psutil.virtual_memory().total / 2**30, 1), False),
    Fact("cgroup_cpus", _quota, False),
    Fact("governor", lambda: _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"), False),
    Fact("kernel", lambda: platform.release().split("-")[0], False),
    Fact("python", platform.python_version, False),
)


def read_machine() -> dict[str, Any]:
    """Every fact of this machine, by name, as JSON values."""
    return {fact.name: fact.read() for fact in FACTS}


def read_target(section: TargetSection) -> dict[str, Any]:
    """The study's target with its defaults filled in for this machine.

    Raises OvnasError if it asks for more threads than this process may use, or more streams than threads.
    """
    allowed = allowed_threads()
    if section.threads > allowed:
        raise OvnasError(f"[target] threads is {section.threads}, but this process may use {allowed} CPU(s)")
    threads = section.threads or allowed
    streams = section.streams or (threads if section.mode == "throughput" else 1)
    if streams > threads:
        raise OvnasError(
            f"[target] streams must be <= threads, but got {streams} streams and {threads} thread(s)"
        )
    return {"mode": section.mode, "threads": threads, "streams": streams, "batch": section.batch}


def throughput_target(target: dict[str, Any]) -> dict[str, Any]:
    """The target with one stream for each CPU that this process may use."""
    n = allowed_threads()
    return {**target, "mode": "throughput", "threads": n, "streams": n}


def allowed_threads() -> int:
    """Threads that affinity and cgroup quota allow."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _quota()
    return max(1, min(affinity or 1, int(quota) if quota else affinity or 1))


def has_vnni(machine: dict[str, Any]) -> bool:
    """Whether INT8 dot products are accelerated."""
    return bool({"avx512_vnni", "avx_vnni", "amx_int8"} & set(machine["flags"]))


def conditions(machine: dict[str, Any], target: dict[str, Any]) -> str:
    """Machine and target in one line, for the head of a page."""
    version = str(machine["openvino"]).split("-")[0]
    streams = f", {target['streams']} stream(s)" if target["mode"] == "throughput" else ""
    return (
        f"{machine['cpu_model']}, {machine['logical_cpus']} CPUs, OpenVINO {version}; INT8, "
        f"{target['threads']} thread(s){streams}, batch {target['batch']}, {target['mode']} mode"
    )


def describe_difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """The facts that must agree and do not, or an empty text."""
    return "; ".join(
        f"{fact.name}: {theirs.get(fact.name)!r} there, {ours.get(fact.name)!r} here"
        for fact in FACTS
        if fact.must_agree and theirs.get(fact.name) != ours.get(fact.name)
    )
