"""The symbolic channels of what an executed kernel writes, told from those that it reads."""

from __future__ import annotations

import math
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

# The plugin's name of a reorder into which it merged a transposition ends so.
_MERGED = "_fake"


def known_nodes(graphs: SlicedGraph, item: ExecutedKernel) -> list[str]:
    """The graph's nodes in a kernel, in its order. The plugin appends to the names of what it rewrites, and
    has operations of its own."""
    names = ((name, name.rpartition("/")[0]) for name in item.originals)
    found = (next((n for n in pair if n in graphs.outputs), None) for pair in names)
    return [name for name in found if name is not None]


def output_dims(graphs: SlicedGraph, item: ExecutedKernel, inputs: Dims) -> Dims:
    """Of a kernel whose first input has the dimensions `inputs`. Raises OvnasError where they cannot be
    told."""
    space, names = graphs.space, known_nodes(graphs, item)
    is_free = any(space.is_free(dim) for dim in inputs)
    # What the plugin named after a layer may stand before it, with other dimensions of the same sizes.
    own = names if item.kernel.macs else [name for name in names if name in item.originals]
    if found := _fitting(graphs, item, own):
        return found
    if item.name.endswith(_MERGED) and is_free and (found := _moved(space, item, inputs)):
        return found
    if item.out_shape == item.in_shape:
        return inputs
    if is_free and (
        found := _reduced(item, inputs) or _moved(space, item, inputs) or _regrouped(space, item, inputs)
    ):
        return found
    if found := _fitting(graphs, item, names):
        return found
    if is_free:
        raise OvnasError(f"the channels of the executed kernel {item.name!r} cannot be told")
    return fixed_dims(item.out_shape)


def _fitting(graphs: SlicedGraph, item: ExecutedKernel, names: list[str]) -> Dims | None:
    """Those of the last node that is as large as the kernel's output; a convolution that is executed as a
    linear layer has its channels last."""
    for name in reversed(names):
        dims = graphs.outputs[name]
        if _sizes(graphs.space, dims) == item.out_shape:
            return dims
        if item.kernel.kind == "FullyConnected" and len(dims) > 2:
            dims = (dims[0], *dims[2:], dims[1])
            if _sizes(graphs.space, dims) == item.out_shape:
                return dims
    return None


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
    """A transposition: the channels go from the last place to the second, or back, where the sides of the map
    may become one."""
    last = len(item.in_shape) - 1
    to_second, to_last = (0, last, *range(1, last)), (0, *range(2, last + 1), 1)
    order = to_second if space.is_free(inputs[last]) else to_last
    moved = tuple(item.in_shape[axis] for axis in order)
    if moved == item.out_shape:
        return tuple(inputs[axis] for axis in order)
    if order == to_last and item.out_shape == (moved[0], math.prod(moved[1:-1]), moved[-1]):
        return (inputs[0], *fixed_dims(item.out_shape[1:2]), inputs[1])
    return None


def _regrouped(space: Space, item: ExecutedKernel, inputs: Dims) -> Dims | None:
    """A reshape to normalise channels in groups, which go from the channels to the batch, or back."""
    if min(len(item.in_shape), len(item.out_shape)) < 3:
        return None
    (batch, channels, *rest), (out_batch, out_channels, *out_rest) = item.in_shape, item.out_shape
    if rest != out_rest or batch * channels != out_batch * out_channels:
        return None
    if space.is_free(inputs[1]) and out_batch % batch == 0:
        groups = _scaled(inputs[1], batch, out_channels)
        return None if groups is None else (groups, *fixed_dims((out_channels,)), *inputs[2:])
    if space.is_free(inputs[0]) and batch % out_batch == 0:
        joined = _scaled(inputs[0], channels, out_batch)
        return None if joined is None else (*fixed_dims((out_batch,)), joined, *inputs[2:])
    return None


def _scaled(dim: Dim, times: int, over: int) -> Dim | None:
    """`dim` with each segment so many times as long, if they are whole."""
    if any(segment.per_unit * times % over for segment in dim):
        return None
    return tuple(replace(segment, per_unit=segment.per_unit * times // over) for segment in dim)


def _sizes(space: Space, dims: Dims) -> tuple[int, ...]:
    full = np.array([[group.n_units for group in space.groups]])
    return tuple(int(dim_size(dim, full)[0]) for dim in dims)
