"""What the machine is doing at this moment: facts that change by the second and are never stored."""

from __future__ import annotations

import os
import time
from typing import Any

import psutil

from profiling.cpu import ROOT, read_text

__all__ = ["read_activity"]

SECONDS = 0.4
BUSY_PERCENT = 15.0
MAX_NAMED = 3


def read_activity(seconds: float = SECONDS) -> dict[str, Any]:
    """Watches for a short time. `busy` names other processes at work ({"name", "pid", "percent"} of one
    CPU, the busiest first); `steal_percent` is the time that the hypervisor took away."""
    psutil.cpu_times_percent()
    watched = _others()
    time.sleep(seconds)
    steal = float(getattr(psutil.cpu_times_percent(), "steal", 0.0))
    return {
        "load_1m": round(os.getloadavg()[0], 2),
        "steal_percent": round(steal, 1),
        "busy": _busy(watched),
        "memory_available_gib": round(psutil.virtual_memory().available / 2**30, 1),
        "temperature_c": _temperature(),
        "temperature_high_c": _temperature(is_limit=True),
        "throttled": _throttled(),
    }


def _others() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid():
                process.cpu_percent()  # starts its clock
                found.append(process)
        except psutil.Error:
            continue
    return found


def _busy(watched: list[psutil.Process]) -> list[dict[str, Any]]:
    found = []
    for process in watched:
        try:
            percent = process.cpu_percent()
            if percent >= BUSY_PERCENT:
                found.append({"name": process.name(), "pid": process.pid, "percent": round(percent)})
        except psutil.Error:
            continue
    return sorted(found, key=lambda item: (-item["percent"], item["pid"]))[:MAX_NAMED]


def _temperature(*, is_limit: bool = False) -> float | None:
    """The hottest sensor's temperature, or the lowest limit among the sensors."""
    groups = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    sensors = [sensor for name in ("coretemp", "k10temp", "zenpower") for sensor in groups.get(name, [])]
    if is_limit:
        return min((float(s.high) for s in sensors if s.high), default=None)
    return max((float(s.current) for s in sensors if s.current), default=None)


def _throttled() -> int | None:
    """How often a core was slowed down for its heat since the machine was started."""
    files = (ROOT / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
    counts = [int(text) for text in map(read_text, files) if text.isdigit()]
    return sum(counts) if counts else None
