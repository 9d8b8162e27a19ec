"""Quantities with a unit, as people write them: "8ms", "40M", "2MB", "5m"."""

from __future__ import annotations

import re

from supernet.errors import OvnasError

__all__ = ["parse_budget", "parse_count", "parse_latency", "parse_size"]

_LATENCY = {"us": 1.0, "ms": 1e3, "s": 1e6}
_COUNT = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_BUDGET = {"s": 1, "m": 60, "h": 3600}
_SIZE = {"b": 1.0, "kb": 1e3, "mb": 1e6, "kib": 2.0**10, "mib": 2.0**20}


def parse_latency(text: str, option: str) -> float:
    """Microseconds of "8ms", "750us" or "0.1s". Raises OvnasError for anything else."""
    return _parse(text, option, _LATENCY, "a latency like 8ms, 750us or 0.1s")


def parse_count(text: str, option: str) -> float:
    """A count like "40M", "1.2G" or "40000000". Raises OvnasError for anything else."""
    return _parse(text, option, _COUNT, "a count like 40M or 1.2G")


def parse_size(text: str, option: str) -> float:
    """Bytes of "2MB", "500kB" or "1.5MiB". Raises OvnasError for anything else."""
    return _parse(text, option, _SIZE, "a size like 2MB, 500kB or 1.5MiB")


def parse_budget(text: str, option: str) -> tuple[float | None, int | None]:
    """Seconds of "90s", "5m" or "1h", or the number of "200"; the other one is None. Raises OvnasError for
    anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", text.strip())
    if match is None or float(match[1]) <= 0 or (match[2] is None and "." in match[1]):
        raise OvnasError(f"{option} is a time like '90s', '5m' or a number of networks, got {text!r}")
    if match[2] is None:
        return None, int(match[1])
    return float(match[1]) * _BUDGET[match[2]], None


def _parse(text: str, option: str, units: dict[str, float], what: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-zA-Z]*)", text.strip())
    unit = match[2].lower() if match else ""
    value = float(match[1]) * units[unit] if match and unit in units else 0.0
    if not 0 < value < float("inf"):
        raise OvnasError(f"{option} must be {what}, but got {text!r}")
    return value
