"""A predictor compiled over a space: an architecture's latency is a gather and a sum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from predictor.axes import Axis
from profiling.plan import Plan

if TYPE_CHECKING:
    from predictor.network import Conditions
    from predictor.tables import Tables

__all__ = ["CompiledPredictor"]

CHUNK = 65_536
# A table of so many entries still lies in the second-level cache.
LARGEST_JOINED = 4096


Parts = dict[tuple[Axis, ...], NDArray[np.float64]]


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
        shared: Parts = {}
        for axes, table in tables.parts:
            if axes:
                shared[axes] = shared[axes] + table if axes in shared else table
            else:
                self.base_us += float(table)
        self._tables = list(_joined(_absorbed(shared)).items())

    def predict_codes(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Latency in microseconds for codes of shape (n, n_slots): shape (n,)."""
        result = np.empty(len(codes))
        for start in range(0, len(codes), CHUNK):
            columns = np.ascontiguousarray(codes[start : start + CHUNK].T)
            total = np.full(columns.shape[1], self.base_us)
            for axes, table in self._tables:
                index = axes[0].index(columns)
                for axis in axes[1:]:
                    index = index * axis.size + axis.index(columns)
                total += table.reshape(-1).take(index)
            result[start : start + CHUNK] = total
        return result


def _absorbed(tables: Parts) -> Parts:
    """Adds a table into another one that depends on all its axes."""
    result: Parts = {}
    for axes, table in sorted(tables.items(), key=lambda item: -len(item[0])):
        host = next((other for other in result if set(axes) <= set(other)), None)
        if host is None:
            result[axes] = table
        else:
            result[host] = result[host] + _spread(axes, table, host)
    return result


def _joined(tables: Parts) -> Parts:
    """Joins any two tables, of shared axes or not, while the joint one stays small: fewer gathers for the
    same sum."""
    result: Parts = {}
    for axes, table in tables.items():
        unions = ((host, _union(host, axes)) for host in result)
        found = next((h for h, all_ in unions if math.prod(a.size for a in all_) <= LARGEST_JOINED), None)
        if found is None:
            result[axes] = table
        else:
            union = _union(found, axes)
            result[union] = _spread(found, result.pop(found), union) + _spread(axes, table, union)
    return result


def _union(one: tuple[Axis, ...], other: tuple[Axis, ...]) -> tuple[Axis, ...]:
    return tuple(sorted({*one, *other}, key=lambda axis: (axis.slots, axis.steps)))


def _spread(
    axes: tuple[Axis, ...], table: NDArray[np.float64], onto: tuple[Axis, ...]
) -> NDArray[np.float64]:
    """The table with an axis of length 1 for each one of `onto` that it does not depend on."""
    return table.reshape([axis.size if axis in axes else 1 for axis in onto])
