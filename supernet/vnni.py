"""Whether a CPU adds INT8 products in 32 bits. Others add pairs of them in 16 bits first, which saturate, so
that weights must keep to 7 bits there ("Nuances of int8 Computations", oneDNN's developer guide)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["has_vnni", "this_cpu_has_vnni"]

_INSTRUCTIONS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})


def has_vnni(flags: Iterable[str]) -> bool:
    """Of the flags that /proc/cpuinfo names."""
    return not _INSTRUCTIONS.isdisjoint(flags)


def this_cpu_has_vnni(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """False too where the file cannot be read."""
    try:
        return has_vnni(cpuinfo.read_text(encoding="utf-8").split())
    except OSError:
        return False
