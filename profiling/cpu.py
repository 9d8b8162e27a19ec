"""What Linux says of the CPUs that this process may use: topology, clocks, caches, limits.

Every reader takes the root of the file system, so that a test can hand it another machine's files. What
cannot be read is None or "unknown", never an error: containers and virtual machines hide much of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

__all__ = [
    "UNKNOWN",
    "affinity",
    "cache",
    "core_kinds",
    "cpuinfo",
    "foreign_siblings",
    "governor",
    "has_turbo",
    "huge_pages",
    "hypervisor",
    "is_smt_on",
    "memory_left",
    "numa_nodes",
    "parse_list",
    "physical_cores",
    "quota",
    "read_text",
    "sockets",
    "write_list",
]  # fmt: skip

ROOT = Path("/")
UNKNOWN = "unknown"
_CPUS = "sys/devices/system/cpu"


def affinity() -> list[int]:
    """The logical CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def read_text(path: Path) -> str:
    """A file's text without the white space around it, or "unknown"."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return UNKNOWN


def cpuinfo(key: str, root: Path = ROOT) -> str:
    """The first CPU's entry in /proc/cpuinfo, or an empty text."""
    for line in read_text(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def cache(level: int, root: Path = ROOT) -> str:
    """The size of the first CPU's data cache of a level, such as "48K"."""
    for index in range(8):
        folder = root / _CPUS / f"cpu0/cache/index{index}"
        if read_text(folder / "level") == str(level) and read_text(folder / "type") in ("Unified", "Data"):
            return read_text(folder / "size")
    return UNKNOWN


def parse_list(text: str) -> list[int]:
    """Linux's lists: "0-2,8" is 0, 1, 2, 8. Raises ValueError for another text."""
    found: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def write_list(cpus: Iterable[int]) -> str:
    """The text that `parse_list` reads: 0, 1, 2, 8 is "0-2,8"."""
    runs: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _siblings(cpu: int, root: Path) -> frozenset[int]:
    """The logical CPUs on `cpu`'s core, itself among them; only itself where that cannot be read."""
    try:
        found = parse_list(read_text(root / _CPUS / f"cpu{cpu}/topology/thread_siblings_list"))
    except ValueError:
        found = []
    return frozenset(found) | {cpu}


def physical_cores(cpus: Sequence[int], root: Path = ROOT) -> int:
    """On how many cores `cpus` lie: SMT siblings are not counted twice."""
    return len({_siblings(cpu, root) for cpu in cpus})


def foreign_siblings(cpus: Sequence[int], root: Path = ROOT) -> list[int]:
    """SMT siblings of `cpus` that are not among them: others may run there, on our cores."""
    every = frozenset[int]().union(*(_siblings(cpu, root) for cpu in cpus))
    return sorted(every - set(cpus))


def core_kinds(cpus: Sequence[int], root: Path = ROOT) -> dict[str, str]:
    """Which of `cpus` are fast cores and which are small ones, where a CPU has both: {"cpu_core": "0-7",
    "cpu_atom": "8-15"}; empty where all are alike."""
    found = {}
    for name in ("cpu_core", "cpu_atom"):
        try:
            own = set(parse_list(read_text(root / "sys/devices" / name / "cpus"))) & set(cpus)
        except ValueError:
            continue
        if own:
            found[name] = write_list(own)
    return found


def is_smt_on(root: Path = ROOT) -> bool | None:
    """Whether cores run several threads; None if unknown."""
    return {"1": True, "0": False}.get(read_text(root / _CPUS / "smt/active"))


def sockets(root: Path = ROOT) -> int | None:
    """Processor packages of the machine."""
    files = (root / _CPUS).glob("cpu[0-9]*/topology/physical_package_id")
    return len({read_text(file) for file in files}) or None


def numa_nodes(cpus: Sequence[int] | None = None, root: Path = ROOT) -> int | None:
    """NUMA nodes of the machine, or those that `cpus` lie on."""
    lists = []
    for file in (root / "sys/devices/system/node").glob("node[0-9]*/cpulist"):
        try:
            lists.append(set(parse_list(read_text(file))))
        except ValueError:
            continue
    return sum(bool(nodes) if cpus is None else bool(nodes & set(cpus)) for nodes in lists) or None


def governor(cpus: Sequence[int] = (0,), root: Path = ROOT) -> str:
    """The frequency governors of `cpus`."""
    found = {read_text(root / _CPUS / f"cpu{cpu}/cpufreq/scaling_governor") for cpu in cpus}
    return ",".join(sorted(found - {UNKNOWN})) or UNKNOWN


def has_turbo(root: Path = ROOT) -> bool | None:
    """Whether clocks may rise above the nominal one; None if unknown."""
    no_turbo = read_text(root / _CPUS / "intel_pstate/no_turbo")
    boost = read_text(root / _CPUS / "cpufreq/boost")
    return {"0": True, "1": False}.get(no_turbo, {"1": True, "0": False}.get(boost))


def hypervisor(root: Path = ROOT) -> str:
    """Whose virtual machine this is; "none" on bare metal."""
    if "hypervisor" not in cpuinfo("flags", root).split():
        return "none"
    for name in ("sys/hypervisor/type", "sys/class/dmi/id/sys_vendor"):
        if (text := read_text(root / name)) not in (UNKNOWN, ""):
            return text
    return "unnamed"


def huge_pages(root: Path = ROOT) -> str:
    """Whether transparent huge pages are given: always, madvise or never."""
    match = re.search(r"\[(\w+)\]", read_text(root / "sys/kernel/mm/transparent_hugepage/enabled"))
    return match[1] if match else UNKNOWN


def quota(root: Path = ROOT) -> float | None:
    """CPUs that the control groups allow (v2 or v1, the strictest up to the root), None without a limit."""
    return min(_limits("cpu", root, _limit_v2, _limit_v1), default=None)


def memory_left(root: Path = ROOT) -> int | None:
    """Bytes that the control groups allow beyond what is used, cached files not counted; None without a
    limit."""
    return min(map(int, _limits("memory", root, _memory_left_v2, _memory_left_v1)), default=None)


Read = Callable[[Path], float | None]


def _limits(controller: str, root: Path, read_v2: Read, read_v1: Read) -> list[float]:
    limits: list[float] = []
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            limits += _limits_above(root / "sys/fs/cgroup", path, read_v2)
        elif controller in controllers.split(","):
            for mount in (controller, controllers):
                limits += _limits_above(root / "sys/fs/cgroup" / mount, path, read_v1)
    return limits


def _limits_above(mount: Path, path: str, read: Read) -> list[float]:
    """The limits of a group and of all above it. In a container its path may be the host's: what is not
    there is passed over, and the mount itself is the container's group."""
    group = PurePosixPath("/", path)
    found = [read(mount / str(step).lstrip("/")) for step in (group, *group.parents)]
    return [limit for limit in found if limit is not None]


def _limit_v2(folder: Path) -> float | None:
    try:
        limit, period = read_text(folder / "cpu.max").split()
        return None if limit == "max" else int(limit) / int(period)
    except (ValueError, ZeroDivisionError):
        return None


def _limit_v1(folder: Path) -> float | None:
    try:
        limit = int(read_text(folder / "cpu.cfs_quota_us"))
        return limit / int(read_text(folder / "cpu.cfs_period_us")) if limit > 0 else None
    except (ValueError, ZeroDivisionError):
        return None


def _memory_left_v2(folder: Path) -> float | None:
    return _memory_left(folder, "memory.max", "memory.current", "inactive_file")


def _memory_left_v1(folder: Path) -> float | None:
    return _memory_left(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _memory_left(folder: Path, limit: str, usage: str, cached: str) -> float | None:
    try:
        left = int(read_text(folder / limit)) - int(read_text(folder / usage))
    except ValueError:  # "max", or nothing that says it
        return None
    entries = dict(line.split() for line in read_text(folder / "memory.stat").splitlines() if " " in line)
    return float(max(0, left + int(entries.get(cached, 0))))
