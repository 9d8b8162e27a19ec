from __future__ import annotations

import os
from pathlib import Path

import pytest

from profiling import cpu

CPUS = "sys/devices/system/cpu"

# Two sockets of two cores with two threads each, as Linux numbers them: CPU 4 is on the core of CPU 0.
DUAL = {
    "proc/cpuinfo": "model name : A CPU\nflags : fpu hypervisor\n\nmodel name : Another\n",
    f"{CPUS}/smt/active": "1\n",
    f"{CPUS}/cpufreq/boost": "1\n",
    "sys/devices/system/node/node0/cpulist": "0-1,4-5\n",
    "sys/devices/system/node/node1/cpulist": "2-3,6-7\n",
    "sys/class/dmi/id/sys_vendor": "QEMU\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    f"{CPUS}/cpu0/cache/index0/level": "1\n",
    f"{CPUS}/cpu0/cache/index0/type": "Instruction\n",
    f"{CPUS}/cpu0/cache/index0/size": "64K\n",
    f"{CPUS}/cpu0/cache/index1/level": "1\n",
    f"{CPUS}/cpu0/cache/index1/type": "Data\n",
    f"{CPUS}/cpu0/cache/index1/size": "48K\n",
    **{f"{CPUS}/cpu{i}/topology/thread_siblings_list": f"{i % 4},{i % 4 + 4}\n" for i in range(8)},
    **{f"{CPUS}/cpu{i}/topology/physical_package_id": f"{i % 4 // 2}\n" for i in range(8)},
    **{f"{CPUS}/cpu{i}/cpufreq/scaling_governor": "powersave\n" for i in range(8)},
}


@pytest.fixture
def make_root(tmp_path):
    """A file system's root with files of given texts."""

    def make(files: dict[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("cpus", "cores", "nodes", "foreign"),
    [
        ([0], 1, 1, [4]),
        ([0, 4], 1, 1, []),
        ([0, 1], 2, 1, [4, 5]),
        (range(8), 4, 2, []),
        ([3, 4], 2, 2, [0, 7]),
    ],
)
def test_siblings_are_not_counted_twice(make_root, cpus, cores, nodes, foreign):
    root = make_root(DUAL)
    assert cpu.physical_cores(list(cpus), root) == cores
    assert cpu.numa_nodes(list(cpus), root) == nodes
    assert cpu.foreign_siblings(list(cpus), root) == foreign


def test_what_linux_says_is_read(make_root):
    root = make_root(DUAL)
    assert cpu.cpuinfo("model name", root) == "A CPU"
    assert (cpu.cache(1, root), cpu.cache(2, root)) == ("48K", "unknown")
    assert (cpu.sockets(root), cpu.numa_nodes(root=root), cpu.is_smt_on(root)) == (2, 2, True)
    assert (cpu.governor([0, 1], root), cpu.has_turbo(root)) == ("powersave", True)
    assert (cpu.hypervisor(root), cpu.huge_pages(root)) == ("QEMU", "madvise")


def test_what_cannot_be_read_is_unknown(tmp_path):
    assert cpu.cpuinfo("model name", tmp_path) == ""
    assert cpu.physical_cores([0, 1, 2], tmp_path) == 3
    assert cpu.foreign_siblings([0, 1], tmp_path) == []
    for read in (cpu.sockets, cpu.is_smt_on, cpu.has_turbo, cpu.quota):
        assert read(root=tmp_path) is None
    assert cpu.numa_nodes(root=tmp_path) is None
    assert cpu.governor(root=tmp_path) == cpu.huge_pages(tmp_path) == cpu.cache(3, tmp_path) == "unknown"
    assert cpu.hypervisor(tmp_path) == "none"


def test_intel_says_turbo_the_other_way_round(make_root):
    assert cpu.has_turbo(make_root({f"{CPUS}/intel_pstate/no_turbo": "0\n"})) is True
    assert cpu.has_turbo(make_root({f"{CPUS}/intel_pstate/no_turbo": "1\n"})) is False


V1 = "sys/fs/cgroup/cpu,cpuacct"


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        # A group of its own, and a stricter one above it.
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
            },
            2.0,
        ),
        # Version 1, seen from a container: the path is the host's and is not there.
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/123\n3:cpuset:/\n",
                f"{V1}/cpu.cfs_quota_us": "50000\n",
                f"{V1}/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_quota_of_both_versions(make_root, files, cpus):
    assert cpu.quota(make_root(files)) == cpus


@pytest.mark.parametrize(
    ("text", "cpus"), [("", []), ("0", [0]), ("0-2,8", [0, 1, 2, 8]), ("1,3-4", [1, 3, 4])]
)
def test_lists_round_trip(text, cpus):
    assert cpu.parse_list(text) == cpus
    assert cpu.write_list(reversed(cpus)) == text


def test_affinity_is_that_of_the_process():
    found = cpu.affinity()
    assert found == sorted(set(found))
    assert 1 <= cpu.physical_cores(found) <= len(found) <= os.cpu_count()


GROUP_V2 = {
    "proc/self/cgroup": "0::/a/b\n",
    "sys/fs/cgroup/a/memory.max": "1000\n",
    "sys/fs/cgroup/a/memory.current": "700\n",
    "sys/fs/cgroup/a/memory.stat": "anon 500\ninactive_file 100\n",
    "sys/fs/cgroup/a/b/memory.max": "max\n",
    "sys/fs/cgroup/a/b/memory.current": "600\n",
}
GROUP_V1 = {
    "proc/self/cgroup": "5:cpu,cpuacct:/\n4:memory:/c\n",
    "sys/fs/cgroup/memory/c/memory.limit_in_bytes": "900\n",
    "sys/fs/cgroup/memory/c/memory.usage_in_bytes": "950\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "950\n",
}


@pytest.mark.parametrize(
    ("files", "left"),
    [(GROUP_V2, 400), (GROUP_V1, 0), ({}, None), ({"proc/self/cgroup": "0::/\n"}, None)],
)
def test_memory_that_a_control_group_leaves(make_root, files, left):
    assert cpu.memory_left(make_root(files)) == left


def test_fast_and_small_cores_are_told_apart(make_root):
    root = make_root({"sys/devices/cpu_core/cpus": "0-7\n", "sys/devices/cpu_atom/cpus": "8-15\n"})
    assert cpu.core_kinds(range(16), root) == {"cpu_core": "0-7", "cpu_atom": "8-15"}
    assert cpu.core_kinds([2, 3], root) == {"cpu_core": "2-3"}
    assert cpu.core_kinds([0], root / "proc") == {}
