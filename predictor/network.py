"""What a predictor sees: the kernels of a network, and under what conditions they run."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from profiling.kernel import Kernel
from profiling.plan import Plan
from supernet.architecture import Architecture

if TYPE_CHECKING:
    from profiling.target import Target

__all__ = ["Conditions", "Network"]

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
# Of a usual server core, where a machine does not tell.
_USUAL = {"l1d_cache": 32 * 2**10, "l2_cache": 2**20, "l3_cache": 32 * 2**20}


@dataclass(frozen=True)
class Conditions:
    """The facts of machine and target that features use. `threads` and `streams` are of all streams
    together; the caches' sizes are in bytes."""

    threads: int
    streams: int
    l1d_bytes: int
    l2_bytes: int
    l3_bytes: int

    @classmethod
    def of(cls, machine: dict[str, Any], target: Target) -> Conditions:
        """From the facts that a store keeps. A cache whose size is unknown counts as a usual one."""
        l1d, l2, l3 = (_bytes(str(machine.get(name, "")), usual) for name, usual in _USUAL.items())
        return cls(int(target["threads"]), int(target["streams"]), l1d, l2, l3)

    def to_json(self) -> dict[str, int]:
        """A JSON value of the fields."""
        return asdict(self)


@dataclass(frozen=True)
class Network:
    """One network as its kernels. `space` (the fingerprint) and `codes` say which member of which space
    it is, where it is one: predictors of an architecture's codes need them."""

    kernels: tuple[Kernel, ...]
    conditions: Conditions
    space: str = ""
    codes: tuple[int, ...] = ()

    @classmethod
    def planned(cls, plan: Plan, architecture: Architecture, conditions: Conditions) -> Network:
        """An architecture as a search sees it: from the plan, without being built."""
        codes = plan.space.encode(architecture)
        return cls(tuple(plan.of(architecture)), conditions, plan.space.fingerprint, codes)


def _bytes(text: str, usual: int) -> int:
    found = re.fullmatch(r"(\d+)\s*([KMG]?)(?:i?B)?", text.strip())
    return int(found[1]) * _UNITS[found[2]] if found else usual
