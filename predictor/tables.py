"""Additive tables over a space: each says what some slots' choices add to an architecture's latency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.axes import Axis, axes_of, every_index
from profiling.kernel import Kernel
from profiling.plan import Plan, PlannedKernel

__all__ = ["Tables", "kernel_tables"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tables:
    """Latency = `base_us` + one entry of each table, at the indices that its axes give; slots inside dropped
    blocks must not change the sum."""

    base_us: float
    parts: tuple[tuple[tuple[Axis, ...], Floats], ...]


def kernel_tables(plan: Plan, base_us: float, latency_us: Callable[[Sequence[Kernel]], Floats]) -> Tables:
    """Every kernel has few sizes, so all its latencies are predicted once."""
    shapes: list[tuple[tuple[Axis, ...], NDArray[np.int64], Floats]] = []
    distinct: dict[Kernel, int] = {}
    for planned in plan.kernels:
        axes = _axes_of(plan, planned)
        codes = every_index(plan.space, axes)
        sizes, inverse = np.unique(plan.shapes(planned, codes), axis=0, return_inverse=True)
        places = [distinct.setdefault(planned.sized(*map(int, row)), len(distinct)) for row in sizes]
        alive = plan.alive(planned, codes).astype(np.float64)
        shapes.append((axes, np.array(places)[inverse.reshape(-1)], alive))
    latency = latency_us(list(distinct))
    parts = tuple(
        (axes, (alive * latency[places]).reshape([axis.size for axis in axes]))
        for axes, places, alive in shapes
    )
    return Tables(base_us, parts)


def _axes_of(plan: Plan, planned: PlannedKernel) -> tuple[Axis, ...]:
    block = None if planned.block is None else planned.block.slot
    side = None if planned.resolution is None else plan.space.resolution_slot
    return axes_of(plan.space, (planned.inputs, planned.outputs), (block, planned.kernel_slot, side))
