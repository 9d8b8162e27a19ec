"""A predictor compiled over a space: an architecture's latency is a gather and a sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from profiling.plan import Plan

if TYPE_CHECKING:
    from predictor.network import Conditions
    from predictor.tables import Tables

__all__ = ["CompiledPredictor"]

CHUNK = 65_536
# A table of so many entries still lies in the second-level cache.
LARGEST_JOINED = 4096


class Tabulated(Protocol):
    """What can be compiled: every predictor, and any other sum over a space."""

    def tables(self, plan: Plan, conditions: Conditions) -> Tables:
        """The sum as additive tables."""


class CompiledPredictor:
    """Latencies of coded architectures; equal to the uncompiled sum."""

    def __init__(self, plan: Plan, predictor: Tabulated, conditions: Conditions) -> None:
        self.space = plan.space
        tables = predictor.tables(plan, conditions)
        self.base_us = tables.base_us
        shared: dict[tuple[int, ...], NDArray[np.float64]] = {}
        for slots, table in tables.parts:
            if slots:
                shared[slots] = shared[slots] + table if slots in shared else table
            else:
                self.base_us += float(table)
        self._tables = list(_joined(_absorbed(shared)).items())

    def predict_codes(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Latency in microseconds for codes of shape (n, n_slots): shape (n,)."""
        result = np.empty(len(codes))
        for start in range(0, len(codes), CHUNK):
            columns = np.ascontiguousarray(codes[start : start + CHUNK].T)
            total = np.full(columns.shape[1], self.base_us)
            for slots, table in self._tables:
                index = columns[slots[0]]
                for slot, size in zip(slots[1:], table.shape[1:], strict=True):
                    index = index * size + columns[slot]
                total += table.reshape(-1).take(index)
            result[start : start + CHUNK] = total
        return result


Parts = dict[tuple[int, ...], NDArray[np.float64]]


def _absorbed(tables: Parts) -> Parts:
    """Adds a table into another one that depends on all its slots."""
    result: Parts = {}
    for slots, table in sorted(tables.items(), key=lambda item: -len(item[0])):
        host = next((other for other in result if set(slots) <= set(other)), None)
        if host is None:
            result[slots] = table
        else:
            result[host] = result[host] + _spread(slots, table, host)
    return result


def _joined(tables: Parts) -> Parts:
    """Joins any two tables, of shared slots or not, while the joint one stays small: fewer gathers for the
    same sum."""
    result: Parts = {}
    for slots, table in tables.items():
        host = next((h for h in result if _joint_size(h, result[h], slots, table) <= LARGEST_JOINED), None)
        if host is None:
            result[slots] = table
        else:
            union = tuple(sorted({*host, *slots}))
            joint = _spread(host, result.pop(host), union) + _spread(slots, table, union)
            result[union] = joint
    return result


def _joint_size(
    first: tuple[int, ...], one: NDArray[np.float64], second: tuple[int, ...], other: NDArray[np.float64]
) -> int:
    sizes = dict(zip(first, one.shape, strict=True)) | dict(zip(second, other.shape, strict=True))
    return int(np.prod(list(sizes.values())))


def _spread(slots: tuple[int, ...], table: NDArray[np.float64], onto: tuple[int, ...]) -> NDArray[np.float64]:
    """The table with an axis of length 1 for each slot of `onto` that it does not depend on."""
    sizes = iter(table.shape)
    return table.reshape([next(sizes) if slot in slots else 1 for slot in onto])
