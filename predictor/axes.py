"""The axes of tables over a space: what a kernel or a layer depends on, in few enough indices to list."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from supernet.errors import OvnasError
from supernet.space import Dim, Space

__all__ = ["Axis", "axes_of", "every_index", "plain_axis"]

Codes = NDArray[np.int64]
MOST_ENTRIES = 10_000_000


@dataclass(frozen=True)
class Axis:
    """An index that is the sum of what the choices of `slots` add to it: `steps` has one row a slot, with one
    number, at least 0, a choice. Of a single slot that is the choice itself. The channels of a concatenation
    are such a sum: of twenty slots with five choices each there are a hundred sums, but 5^20 choices."""

    slots: tuple[int, ...]
    steps: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """One more than the largest index."""
        return 1 + sum(map(max, self.steps))

    def index(self, columns: Codes) -> Codes:
        """Of coded architectures, `columns` of shape (n_slots, n): shape (n,)."""
        if len(self.slots) == 1 and self.steps[0] == tuple(range(len(self.steps[0]))):
            return np.asarray(columns[self.slots[0]])
        parts = [np.array(row)[columns[slot]] for slot, row in zip(self.slots, self.steps, strict=True)]
        return np.asarray(np.sum(parts, axis=0))

    def choices(self) -> list[tuple[int, ...]]:
        """For each index a choice of every slot that gives it; where none does, their first ones."""
        found: dict[int, tuple[int, ...]] = {0: ()}
        for row in self.steps:
            longer: dict[int, tuple[int, ...]] = {}
            for value, chosen in found.items():
                for choice, step in enumerate(row):
                    longer.setdefault(value + step, (*chosen, choice))
            found = longer
        return [found.get(i, (0,) * len(self.slots)) for i in range(self.size)]


def plain_axis(space: Space, slot: int) -> Axis:
    """Of one slot: its choice."""
    return Axis((slot,), (tuple(range(len(space.slots[slot].choices))),))


def axes_of(space: Space, dims: Sequence[Dim], others: Iterable[int | None]) -> tuple[Axis, ...]:
    """The axes of what depends on the sizes of `dims`, and otherwise on the slots `others` (None is none).

    Slots that only add to the same sizes share an axis.
    """
    singles = {slot for slot in others if slot is not None}
    added: dict[int, list[int]] = {}  # by slot: elements a unit, in each dim
    for place, dim in enumerate(dims):
        for segment in dim:
            group = None if segment.group is None else space.groups[segment.group]
            if group is None:
                continue
            if group.parent is not None:  # a ratio of another size: no sum
                while group is not None:
                    singles |= set() if group.slot is None else {group.slot}
                    group = None if group.parent is None else space.groups[group.parent]
            elif group.slot is not None:
                added.setdefault(group.slot, [0] * len(dims))[place] += segment.per_unit
    together: dict[tuple[bool, ...], list[int]] = {}
    for slot in sorted(added.keys() - singles):
        together.setdefault(tuple(map(bool, added[slot])), []).append(slot)
    axes = [plain_axis(space, slot) for slot in singles]
    for slots in together.values():
        is_one = len(slots) == 1
        axes.append(plain_axis(space, slots[0]) if is_one else _sum_axis(space, slots, added))
    return tuple(sorted(axes, key=lambda axis: axis.slots))


def _sum_axis(space: Space, slots: list[int], added: dict[int, list[int]]) -> Axis:
    """The sizes of several dims become the digits of one index; those that tell the same count once."""
    digits: dict[tuple[tuple[int, ...], ...], None] = {}
    for per_unit in zip(*(added[slot] for slot in slots), strict=True):
        choices = [[int(c) for c in space.slots[slot].choices] for slot in slots]
        rows = [[n * (c - min(own)) for c in own] for n, own in zip(per_unit, choices, strict=True)]
        unit = math.gcd(*(value for row in rows for value in row)) or 1
        digits[tuple(tuple(value // unit for value in row) for row in rows)] = None
    stride, steps = 1, [[0] * len(space.slots[slot].choices) for slot in slots]
    for digit in digits:
        for own, row in zip(steps, digit, strict=True):
            own[:] = [step + stride * value for step, value in zip(own, row, strict=True)]
        stride *= 1 + sum(map(max, digit))
    return Axis(tuple(slots), tuple(map(tuple, steps)))


def every_index(space: Space, axes: Sequence[Axis]) -> Codes:
    """Codes for every combination of the axes' indices, the last one's running fastest, other slots at 0:
    shape (n, n_slots). Raises OvnasError where these are too many to list."""
    n = math.prod(axis.size for axis in axes)
    if n > MOST_ENTRIES:
        names = [space.slots[slot].name for axis in axes for slot in axis.slots]
        raise OvnasError(
            f"a layer depends on {len(names)} choices ({names[0]} to {names[-1]}) in {n:.1g} ways, and only "
            f"{MOST_ENTRIES:.0e} can be tabulated; give fewer widths in [space], or exclude layers"
        )
    codes = np.zeros((n, len(space.slots)), dtype=np.int64)
    rows = list(itertools.product(*(axis.choices() for axis in axes)))
    for place, axis in enumerate(axes):
        codes[:, list(axis.slots)] = [row[place] for row in rows]
    return codes
