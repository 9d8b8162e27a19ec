"""What changes in a quantised OpenVINO graph from the maximal network to one of its sub-networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from supernet.space import Dim

__all__ = ["Cut", "Number", "Padding", "bypass"]

Dims = tuple[Dim, ...]

# Operations whose output holds only values of their first input, so that NNCF quantises before them.
_LEVELS_STAY = {"MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze"}


@dataclass(frozen=True)
class Cut:
    """The constant at input `port` of node `node` has dimensions `dims`; `is_shape` if it holds sizes
    (the target of a Reshape, the lengths of a split), which follow `dims`. The last axes of an elastic kernel
    are cropped to what its slot chooses: `crop` is the slot, and how many axes."""

    node: str
    port: int
    dims: Dims
    is_shape: bool = False
    crop: tuple[int, int] | None = None

    def apply(self, node: Any, full: tuple[int, ...], units: tuple[int, ...], sides: dict[int, int]) -> None:
        """With `units` of every group in place of `full`, and the `sides` of elastic kernels by slot."""
        from openvino import opset13 as ops

        constant = node.input_value(self.port).get_node()
        if self.is_shape:
            value = _shape_for(constant.data, self.dims, units)
        else:
            value = _sliced(constant.data, self.dims, full, units)
            if self.crop is not None:
                value = _cropped(value, sides[self.crop[0]], n_axes=self.crop[1])
        if value.shape != constant.data.shape or self.is_shape:
            replacement = ops.constant(np.ascontiguousarray(value), constant.get_element_type())
            replacement.set_friendly_name(constant.get_friendly_name())
            node.input(self.port).replace_source_output(replacement.output(0))


@dataclass(frozen=True)
class Padding:
    """Convolution `node` has an elastic kernel of `whole` sides: what it loses, its padding does."""

    node: str
    kernel_slot: int
    whole: tuple[int, ...]

    def apply(self, node: Any, sides: dict[int, int]) -> None:
        """With the `sides` of elastic kernels by slot."""
        attributes = node.get_attributes()
        if attributes["auto_pad"] != "explicit":
            return
        side, steps = sides[self.kernel_slot], zip(self.whole, attributes["dilations"], strict=True)
        lost = [step * (whole - min(whole, side)) // 2 for whole, step in steps]
        for name in ("pads_begin", "pads_end"):
            node.set_attribute(name, [n - less for n, less in zip(attributes[name], lost, strict=True)])


@dataclass(frozen=True)
class Number:
    """Attribute `name` of `node` repeats the size of `dim`."""

    node: str
    name: str
    dim: Dim

    def apply(self, node: Any, units: tuple[int, ...]) -> None:
        """With `units` of every group."""
        node.set_attribute(self.name, _size(self.dim, units))


def bypass(entry: Any, end: Any) -> None:
    """What reads `end` reads `entry` from now on.

    A quantiser of `end` gives way to the one that `entry` has, behind or before it: two in a row are one
    kernel too many, and a range of another sign keeps activations alive that the right one makes needless.
    """
    own = [node for _, node in _readers(entry) if node.get_type_name() == "FakeQuantize"]
    for port, node in _readers(end):
        source = None
        if node.get_type_name() == "FakeQuantize":
            alike = [q for q in own if q.input_value(1).shape == node.input_value(1).shape]
            source = alike[0].output(0) if alike else entry.output(0) if _is_quantised(entry) else None
        if source is None:
            node.input(port).replace_source_output(entry.output(0))
        else:
            for behind, reader in _readers(node):
                reader.input(behind).replace_source_output(source)


def _readers(node: Any) -> list[tuple[int, Any]]:
    """The inputs that read a node's first output, as port and node, in an order of their own."""
    found = [(value.get_index(), value.get_node()) for value in node.output(0).get_target_inputs()]
    return sorted(found, key=lambda item: (item[1].get_friendly_name(), item[0]))


def _is_quantised(node: Any) -> bool:
    """Whether a node passes on the levels of a quantiser before it."""
    while node.get_type_name() in _LEVELS_STAY:
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "FakeQuantize")


def _size(dim: Dim, units: tuple[int, ...]) -> int:
    return sum(s.per_unit * (1 if s.group is None else units[s.group]) for s in dim)


def _sliced(value: Any, dims: Dims, full: tuple[int, ...], units: tuple[int, ...]) -> Any:
    """The first channels of each group along every axis."""
    for axis, dim in enumerate(dims):
        pieces, start = [], 0
        for segment in dim:
            kept = _size((segment,), units)
            pieces.append(value[(slice(None),) * axis + (slice(start, start + kept),)])
            start += _size((segment,), full)
        value = pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis)
    return value


def _cropped(weights: Any, side: int, *, n_axes: int) -> Any:
    """The centre of a convolution's weights, whose last axes are those of the kernel."""
    for axis in range(weights.ndim - n_axes, weights.ndim):
        whole = weights.shape[axis]
        kept = min(whole, side)
        weights = weights.take(range((whole - kept) // 2, (whole + kept) // 2), axis=axis)
    return weights


def _shape_for(target: Any, dims: Dims, units: tuple[int, ...]) -> Any:
    """A Reshape's target with each explicit size of a shrunk dimension replaced."""
    result = np.array(target)
    for axis, dim in enumerate(dims):
        if result[axis] > 0:
            result[axis] = _size(dim, units)
    return result
