"""A predictor compiled over a space: an architecture's latency is a gather and a sum.

Every kernel depends on few slots, each with few choices, so all its latencies are predicted once.
Kernels that depend on the same slots share a table.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from profiling.plan import Plan, PlannedKernel

if TYPE_CHECKING:
    from predictor.base import KernelPredictor

__all__ = ["CompiledPredictor"]

CHUNK = 65_536


class CompiledPredictor:
    """Latencies of coded architectures; equal to the uncompiled sum."""

    def __init__(self, plan: Plan, predictor: KernelPredictor) -> None:
        self.space = plan.space
        self.base_us = predictor.overhead_us_
        tables: dict[tuple[int, ...], NDArray[np.float64]] = {}
        for planned in plan.kernels:
            slots = self._slots_of(planned)
            values = self._table(plan, planned, slots, predictor)
            if not slots:
                self.base_us += float(values)
            elif slots in tables:
                tables[slots] = tables[slots] + values
            else:
                tables[slots] = values
        self._tables = [(slots, table) for slots, table in _absorbed(tables).items()]

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

    def _slots_of(self, planned: PlannedKernel) -> tuple[int, ...]:
        slots: set[int] = set() if planned.block is None else {planned.block.slot}
        pending = [s.group for dim in (planned.inputs, planned.outputs) for s in dim]
        while pending:
            index = pending.pop()
            if index is not None:
                group = self.space.groups[index]
                slots |= set() if group.slot is None else {group.slot}
                pending.append(group.parent)
        return tuple(sorted(slots))

    def _table(
        self, plan: Plan, planned: PlannedKernel, slots: tuple[int, ...], predictor: KernelPredictor
    ) -> NDArray[np.float64]:
        """The kernel's latency for every combination of its slots' choices, 0 where it is dropped."""
        shape = tuple(len(self.space.slots[slot].choices) for slot in slots)
        codes = np.zeros((int(np.prod(shape)), len(self.space.slots)), dtype=np.int64)
        if slots:
            codes[:, slots] = list(itertools.product(*map(range, shape)))
        widths = plan.widths(planned, self.space.group_sizes(codes))
        distinct, inverse = np.unique(widths, axis=0, return_inverse=True)
        latency = predictor.kernel_latency_us([planned.sized(int(i), int(o)) for i, o in distinct])
        alive = self.space.alive(planned.block, codes)
        return np.where(alive, latency[inverse.reshape(-1)], 0.0).reshape(shape)


def _absorbed(
    tables: dict[tuple[int, ...], NDArray[np.float64]],
) -> dict[tuple[int, ...], NDArray[np.float64]]:
    """Adds a table into another one that depends on all its slots."""
    result: dict[tuple[int, ...], NDArray[np.float64]] = {}
    for slots, table in sorted(tables.items(), key=lambda item: -len(item[0])):
        host = next((other for other in result if set(slots) <= set(other)), None)
        if host is None:
            result[slots] = table
        else:
            sizes = iter(table.shape)
            shape = [next(sizes) if slot in slots else 1 for slot in host]
            result[host] = result[host] + table.reshape(shape)
    return result
