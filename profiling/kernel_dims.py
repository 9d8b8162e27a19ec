"""The symbolic channels of what an executed kernel writes, told from those that it reads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from profiling.kernel import ExecutedKernel
from supernet.errors import OvnasError
from supernet.space import Dim, Segment, Space, dim_size

if TYPE_CHECKING:
    from supernet.sliced import SlicedGraph

__all__ = ["fixed_dims", "known_nodes", "output_dims"]

Dims = tuple[Dim, ...]


def known_nodes(graphs: SlicedGraph, item: ExecutedKernel) -> list[str]:
    """The graph's nodes in a kernel, in its order. The plugin appends to the names of what it rewrites, and
    has operations of its own."""
    names = ((name, name.rpartition("/")[0]) for name in item.originals)
    found = (next((n for n in pair if n in graphs.outputs), None) for pair in names)
    return [name for name in found if name is not None]


def output_dims(graphs: SlicedGraph, item: ExecutedKernel, inputs: Dims) -> Dims:
    """Of a kernel whose first input has the dimensions `inputs`. Raises OvnasError where they cannot be
    told."""
    space = graphs.space
    for name in reversed(known_nodes(graphs, item)):
        if _sizes(space, graphs.outputs[name]) == item.out_shape:
            return graphs.outputs[name]
    if item.out_shape == item.in_shape:
        return inputs
    if not any(space.is_free(dim) for dim in inputs):
        return fixed_dims(item.out_shape)
    found = _reduced(item, inputs) or _moved(space, item, inputs) or _regrouped(space, item, inputs)
    if found is None:
        raise OvnasError(f"the channels of the executed kernel {item.name!r} cannot be told")
    return found


def fixed_dims(shape: tuple[int, ...]) -> Dims:
    """Those of a tensor of which nothing can be chosen."""
    return tuple((Segment(None, int(n)),) for n in shape)


def _reduced(item: ExecutedKernel, inputs: Dims) -> Dims | None:
    """Some axes of the input became 1."""
    if len(item.in_shape) != len(item.out_shape):
        return None
    sides = list(zip(item.in_shape, item.out_shape, inputs, strict=True))
    if any(before != after != 1 for before, after, _ in sides):
        return None
    return tuple(dim if before == after else fixed_dims((1,))[0] for before, after, dim in sides)


def _moved(space: Space, item: ExecutedKernel, inputs: Dims) -> Dims | None:
    """A reorder that the plugin made of a transposition: the channels go from the last place to the second,
    or back."""
    last = len(item.in_shape) - 1
    to_second, to_last = (0, last, *range(1, last)), (0, *range(2, last + 1), 1)
    order = to_second if space.is_free(inputs[last]) else to_last
    moved = tuple(item.in_shape[axis] for axis in order)
    return tuple(inputs[axis] for axis in order) if moved == item.out_shape else None


def _regrouped(space: Space, item: ExecutedKernel, inputs: Dims) -> Dims | None:
    """A reshape to normalise channels in groups, which go from the channels to the batch, or back."""
    if min(len(item.in_shape), len(item.out_shape)) < 3:
        return None
    (batch, channels, *rest), (out_batch, out_channels, *out_rest) = item.in_shape, item.out_shape
    place = next((axis for axis, dim in enumerate(inputs) if space.is_free(dim)), None)
    if rest != out_rest or place is None or len(inputs[place]) != 1:
        return None
    segment = inputs[place][0]
    n = space.groups[segment.group].n_units if segment.group is not None else 0
    if place == 1 and (out_batch, out_channels) == (batch * n, segment.per_unit):
        return ((replace(segment, per_unit=batch),), *fixed_dims((out_channels,)), *inputs[2:])
    if place == 0 and (out_batch, out_channels) == (segment.per_unit, n * channels):
        return (*fixed_dims((out_batch,)), (replace(segment, per_unit=channels),), *inputs[2:])
    return None


def _sizes(space: Space, dims: Dims) -> tuple[int, ...]:
    full = np.array([[group.n_units for group in space.groups]])
    return tuple(int(dim_size(dim, full)[0]) for dim in dims)
