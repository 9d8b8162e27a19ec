"""Additive tables over a space: each says what some slots' choices add to an architecture's latency."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiling.kernel import Kernel
from profiling.plan import Plan, PlannedKernel

__all__ = ["Tables", "kernel_tables", "slots_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tables:
    """Latency = `base_us` + one entry of each table. A table's axes are its slots, ascending, with one
    index a choice; slots inside dropped blocks must not change the sum."""

    base_us: float
    parts: tuple[tuple[tuple[int, ...], Floats], ...]


def kernel_tables(plan: Plan, base_us: float, latency_us: Callable[[Sequence[Kernel]], Floats]) -> Tables:
    """Every kernel depends on few slots, each with few choices, so all its latencies are predicted once."""
    shapes: list[tuple[PlannedKernel, tuple[int, ...], NDArray[np.int64], Floats]] = []
    distinct: dict[Kernel, int] = {}
    for planned in plan.kernels:
        slots = slots_of(plan, planned)
        codes = all_choices(plan, slots)
        sizes, inverse = np.unique(plan.shapes(planned, codes), axis=0, return_inverse=True)
        places = [distinct.setdefault(planned.sized(*map(int, row)), len(distinct)) for row in sizes]
        alive = plan.alive(planned, codes).astype(np.float64)
        shapes.append((planned, slots, np.array(places)[inverse.reshape(-1)], alive))
    latency = latency_us(list(distinct))
    parts = tuple(
        (slots, (alive * latency[places]).reshape([len(plan.space.slots[s].choices) for s in slots]))
        for _, slots, places, alive in shapes
    )
    return Tables(base_us, parts)


def all_choices(plan: Plan, slots: Sequence[int]) -> NDArray[np.int64]:
    """Codes of every combination of the slots' choices, the other slots at 0: shape (n, n_slots)."""
    sizes = [len(plan.space.slots[slot].choices) for slot in slots]
    codes = np.zeros((int(np.prod(sizes)), len(plan.space.slots)), dtype=np.int64)
    if slots:
        codes[:, list(slots)] = list(itertools.product(*map(range, sizes)))
    return codes


def slots_of(plan: Plan, planned: PlannedKernel) -> tuple[int, ...]:
    """The slots that a kernel depends on, ascending."""
    slots: set[int] = set() if planned.block is None else {planned.block.slot}
    slots |= set() if planned.kernel_slot is None else {planned.kernel_slot}
    if planned.resolution is not None and plan.space.resolution_slot is not None:
        slots.add(plan.space.resolution_slot)
    pending = [s.group for dim in (planned.inputs, planned.outputs) for s in dim]
    while pending:
        index = pending.pop()
        if index is not None:
            group = plan.space.groups[index]
            slots |= set() if group.slot is None else {group.slot}
            pending.append(group.parent)
    return tuple(sorted(slots))
