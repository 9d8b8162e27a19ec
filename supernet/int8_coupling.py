"""What is known of a quantised OpenVINO graph's channels: which constant shrinks along which axis.

`int8_following.follow_quantised` fills it in, with one rule an operation (`int8_rules.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from supernet.channels import ChannelGroups, fixed
from supernet.errors import OvnasError
from supernet.int8_edits import Cut, Number, Padding
from supernet.space import Dim, Layer, Segment, Space

__all__ = ["ELEMENTWISE", "Dims", "Int8Coupling", "Int8Rule"]

Dims = tuple[Dim, ...]
Int8Rule = Callable[["Int8Coupling", Any, list[Dims | None], tuple[int, ...]], Dims]
"""From a node, its inputs' dimensions (None for constants) and its first output's shape to that output's
dimensions."""

ELEMENTWISE = {
    "FakeQuantize", "Convert", "Multiply", "Subtract", "Add", "Divide", "Maximum", "Minimum", "Power",
    "Relu", "Sigmoid", "Tanh", "Clamp", "Elu", "Gelu", "Swish", "HSwish", "HSigmoid", "Mish",
    "SoftPlus", "Abs", "Negative", "Exp", "Sqrt",
}  # fmt: skip
_LAYER_NAME = re.compile(r"__module\.(?P<path>.+?)/aten::(?:_?convolution\w*|linear|conv\w*|addmm)")


class Int8Coupling:
    """`outputs` gives, by node name, the symbolic dimensions of a node's first output, `further` by name and
    index those behind it; `layer_of_node` the author's layer; the rest is what slicing has to change."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.outputs: dict[str, Dims] = {}
        self.further: dict[tuple[str, int], Dims] = {}
        self.layer_of_node: dict[str, str] = {}
        self.cuts: list[Cut] = []
        self.paddings: list[Padding] = []
        self.numbers: list[Number] = []
        self._layers = {layer.name: layer for layer in space.layers}

    def size(self, dim: Dim) -> int:
        """Elements of a dimension in the maximal network."""
        return sum(s.per_unit * (1 if s.group is None else self.space.groups[s.group].n_units) for s in dim)

    def groups(self) -> ChannelGroups:
        """The space's groups anew, to cut and join dimensions with."""
        groups = ChannelGroups()
        for group in self.space.groups:
            index = groups.new(group.name, group.n_units)
            if group.slot is None:
                groups.freeze([(Segment(index, 1),)], group.reason)
        return groups

    def dims_of(self, value: Any) -> Dims:
        """Of an input, by the output that it reads."""
        name, index = value.get_node().get_friendly_name(), value.get_index()
        if index > 0:
            # Where they are not known, `follow_quantised` has found all channels fixed.
            return self.further.get((name, index)) or tuple(fixed(n) for n in value.shape)
        return self.outputs[name]

    def require_fixed(self, node: Any, data: list[Dims]) -> None:
        """Raises OvnasError if any of the node's channels can be chosen."""
        if any(self.space.is_free(dim) for dims in data for dim in dims):
            raise OvnasError(
                f"the quantised graph has a {node.get_type_name()} ({node.get_friendly_name()}) whose "
                "channels cannot be followed; fix the layers around it"
            )

    def layer(self, node: Any, actual: Dim) -> Layer:
        """The author's layer that a node computes from channels `actual`. Raises OvnasError if there is none,
        or it reads others."""
        name = node.get_friendly_name()
        layer = self._named(node)
        if layer is None:
            raise OvnasError(f"the quantised graph's {name!r} is no layer of the space")
        self.layer_of_node[name] = layer.name
        if self._merged(layer.inputs) != self._merged(actual):
            raise OvnasError(f"the quantised graph's {name!r} reads other channels than the space says")
        return layer

    def is_opaque(self, node: Any, data: Dims) -> bool:
        """Whether a layer is none of the space's, of a submodule that was not traced: none of the channels
        that it reads can be chosen."""
        return self._named(node) is None and not any(self.space.is_free(dim) for dim in data)

    def _named(self, node: Any) -> Layer | None:
        match = _LAYER_NAME.match(node.get_friendly_name())
        return self._layers.get(match["path"]) if match else None

    def require_layers(self) -> None:
        """Raises OvnasError if a layer of the space was not met."""
        missing = set(self._layers) - set(self.layer_of_node.values())
        if missing:
            raise OvnasError(f"layers not found in the quantised graph: {', '.join(sorted(missing))}")

    def _merged(self, dim: Dim) -> Dim:
        """`dim` with neighbouring segments that cannot be chosen made one."""
        result: list[Segment] = []
        for segment in dim:
            if not self.space.is_free((segment,)):
                n = self.size((segment,))
                if result and result[-1].group is None:
                    n += result.pop().per_unit
                segment = Segment(None, n)
            result.append(segment)
        return tuple(result)

    def assign(self, node: Any, port: int, dims: Dims, crop: tuple[int, int] | None = None) -> None:
        """Gives the constant (sub)graph at an input its dimensions, broadcast to `dims`."""
        source = node.input_value(port).get_node()
        shape = tuple(source.output(0).shape)
        own = tuple(
            fixed(1) if n == 1 else dim for n, dim in zip(shape, dims[len(dims) - len(shape) :], strict=True)
        )
        if len(shape) < len(dims) or (crop and all(n == 1 for n in shape[-crop[1] :])):
            crop = None  # scales and zero points
        if crop is None and all(segment.group is None for dim in own for segment in dim):
            return
        if shape != tuple(self.size(dim) for dim in own):
            raise OvnasError(
                f"the constant at {node.get_friendly_name()} has shape {shape}, which does not fit the space"
            )
        kind = source.get_type_name()
        if kind == "Constant":
            self.cuts.append(Cut(node.get_friendly_name(), port, own, crop=crop))
        elif kind in ELEMENTWISE:
            for inner in range(source.get_input_size()):
                self.assign(source, inner, own, crop)
        else:
            raise OvnasError(f"a weight passes a {kind}, which cannot be sliced")

    def assign_kernel(self, node: Any, layer: Layer, dims: Dims) -> None:
        """Gives a convolution's weights their dimensions, and crops them if the layer's kernel is elastic."""
        if layer.kernel_slot is None:
            self.assign(node, 1, dims)
            return
        n_axes = len(node.get_attributes()["strides"])
        self.assign(node, 1, dims, (layer.kernel_slot, n_axes))
        whole = tuple(self.size(dim) for dim in dims[-n_axes:])
        self.paddings.append(Padding(node.get_friendly_name(), layer.kernel_slot, whole))
