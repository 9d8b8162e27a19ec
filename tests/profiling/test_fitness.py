from __future__ import annotations

import dataclasses
import re

import pytest

from profiling.fitness import Finding, find_unfit

# Recorded on a server of its own, with everything set for measuring.
QUIET = {
    "cpu_model": "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz",
    "flags": ["avx2", "avx512_vnni", "avx512bw", "avx512f"],
    "logical_cpus": 32,
    "affinity": "0-31",
    "affinity_cpus": 32,
    "affinity_cores": 32,
    "affinity_numa_nodes": 1,
    "foreign_siblings": "",
    "cgroup_cpus": None,
    "governor": "performance",
    "turbo": False,
    "hypervisor": "none",
    "load_1m": 0.1,
    "steal_percent": 0.0,
    "busy": [],
    "memory_available_gib": 250.1,
    "temperature_c": 45.0,
    "temperature_high_c": 82.0,
    "throttled": 0,
}
CHROME = {"name": "chromium", "pid": 12, "percent": 98}


def test_a_quiet_machine_is_fit():
    assert find_unfit(QUIET, 32) == []


@pytest.mark.parametrize(
    ("change", "threads", "severity", "what", "remedy"),
    [
        ({"flags": ["avx2"]}, 1, "warning", "no VNNI.*slower than FP32.*saturate", "AVX512-VNNI"),
        ({"governor": "powersave"}, 1, "warning", "governor powersave", "cpupower frequency-set -g perf"),
        ({"turbo": True}, 1, "note", "turbo is on", "no_turbo"),
        ({"affinity_cores": 16}, 16, "note", "32 allowed CPUs are SMT siblings on 16", "idle"),
        ({"affinity_cores": 16}, 17, "warning", "17 threads on 16 physical", r"threads = 16"),
        ({"foreign_siblings": "4-5"}, 1, "warning", r"CPU 4-5\) are open to others", "whole cores"),
        (
            {"core_kinds": {"cpu_core": "0-7", "cpu_atom": "8-15"}},
            *(1, "warning", "fast and small cores.*cpu_atom 8-15", "taskset -c 0-7"),
        ),
        ({"cgroup_cpus": 4.0}, 4, "warning", r"quota of 4 CPU\(s\) on 32", "--cpuset-cpus"),
        ({"cgroup_cpus": 32.5}, 4, "warning", "quota of 32.5", "--cpuset-cpus"),
        ({"busy": [CHROME]}, 1, "warning", r"chromium \(process 12, 98 %", "stop them"),
        ({"load_1m": 20.0}, 1, "warning", "load average 20 on 32", "wait"),
        ({"steal_percent": 6.5}, 1, "warning", "hypervisor takes 6.5 %", "dedicated"),
        ({"hypervisor": "KVM"}, 1, "note", r"virtual machine \(KVM\)", "ratios"),
        ({"affinity_numa_nodes": 2}, 1, "note", "2 NUMA nodes", "numactl"),
        ({"affinity_numa_nodes": 2}, 2, "warning", "2 NUMA nodes", "numactl"),
        ({"memory_available_gib": 1.2}, 1, "warning", "1.2 GiB of memory", "free some"),
        ({"temperature_c": 80.0}, 1, "warning", "80 degrees C, near the limit of 82", "cool"),
        ({"throttled": 3}, 1, "note", r"heat 3 time\(s\)", "cooling"),
    ],
)
def test_each_flaw_is_one_finding_with_its_remedy(change, threads, severity, what, remedy):
    (found,) = find_unfit({**QUIET, **change}, threads)
    assert found.severity == severity
    for text, pattern in ((found.what, what), (found.remedy, remedy)):
        assert "\n" not in text
        assert re.search(pattern, text)


@pytest.mark.parametrize(
    "change",
    [
        {"cgroup_cpus": 32.0},
        {"load_1m": 4.0},
        {"hypervisor": "none"},
        {"core_kinds": {"cpu_core": "0-3"}},
    ],
)
def test_what_does_no_harm_is_not_found(change):
    assert find_unfit({**QUIET, **change}, 1) == []


@pytest.mark.parametrize("name", sorted(QUIET))
def test_an_unknown_fact_is_no_finding(name):
    without = {key: value for key, value in QUIET.items() if key != name}
    assert find_unfit(without, 1) == []
    if name not in ("flags", "governor"):
        assert find_unfit({**QUIET, name: None}, 1) == []
    assert find_unfit({**QUIET, "governor": "unknown"}, 1) == []


def test_warnings_come_first_and_facts_are_left_alone():
    facts = {**QUIET, "turbo": True, "hypervisor": "KVM", "throttled": 1, "busy": [CHROME]}
    before = dict(facts)
    severities = [finding.severity for finding in find_unfit(facts, 1)]
    assert severities == ["warning", "note", "note", "note"]
    assert facts == before


def test_findings_are_values():
    finding = Finding("note", "a", "b")
    assert dataclasses.asdict(finding) == {"severity": "note", "what": "a", "remedy": "b"}
