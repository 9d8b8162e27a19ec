"""The fast road to many INT8 graphs: quantise the maximal network once, then slice its OpenVINO graph.

Latency does not depend on the values of weights or ranges, so a sub-network's graph is the maximal
graph with shorter constants and bypassed blocks: tens of milliseconds in place of the seconds that
conversion and quantisation take. Which constant shrinks along which axis is found by following the
space's channel groups through the quantised graph, starting at the layers, which keep their names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from supernet.architecture import Architecture
from supernet.channels import ChannelGroups
from supernet.elastic import ElasticNetwork
from supernet.errors import OvnasError
from supernet.graph import as_tuple
from supernet.int8 import convert_with_taps, quantize
from supernet.pixels import resized
from supernet.reshaping import reshape
from supernet.space import Block, Dim, Layer, Segment

if TYPE_CHECKING:
    import openvino as ov

__all__ = ["SlicedGraph", "SlicedGraphs"]

Dims = tuple[Dim, ...]
_LAYER_NAME = re.compile(r"__module\.(?P<path>.+?)/aten::(?:_?convolution\w*|linear|conv\w*|addmm)")


@dataclass(frozen=True)
class _Cut:
    """The constant at input `port` of node `consumer` has dimensions `dims`; `is_shape` if it holds sizes
    (the target of a Reshape, the lengths of a split), which follow `dims`. The last axes of an elastic kernel
    are cropped to what its slot chooses: `crop` is the slot, and how many axes."""

    consumer: str
    port: int
    dims: Dims
    is_shape: bool = False
    crop: tuple[int, int] | None = None


@dataclass(frozen=True)
class _Padding:
    """Convolution `node` has an elastic kernel: what it loses, its padding does."""

    node: str
    kernel_slot: int
    sides: tuple[int, ...]


@dataclass(frozen=True)
class _Number:
    """Attribute `name` of `node` repeats the size of `dim`."""

    node: str
    name: str
    dim: Dim


class SlicedGraph:
    """The maximal INT8 OpenVINO model of `network` for inputs of one size, and its slices.

    `outputs` gives, by node name, the symbolic dimensions of a node's output; `blocks` the skippable block
    that a node belongs to; `layer_of_node` the author's layer.
    """

    def __init__(self, network: ElasticNetwork, example_input: Tensor, samples: Tensor) -> None:
        """Converts and quantises the maximal network with `samples`, shape (n, C, H, W).

        Raises OvnasError if the quantised graph holds an operation whose channels cannot be followed.
        """
        self.space = network.space
        plain = network.extract(self.space.largest)
        taps = sorted({n for run in network.runs.values() for b in run for n in (b.entry, b.exit)})
        model, names = convert_with_taps(plain, as_tuple(example_input), taps)
        self.maximal = quantize(model, samples, fast=True)
        self._runs = {
            slot: [(names[b.entry], names[b.exit]) for b in run] for slot, run in sorted(network.runs.items())
        }
        self._layers = {layer.name: layer for layer in self.space.layers}
        self._cuts: list[_Cut] = []
        self._paddings: list[_Padding] = []
        self._numbers: list[_Number] = []
        self._further: dict[tuple[str, int], Dims] = {}  # dimensions of outputs behind the first
        self.outputs: dict[str, Dims] = {}
        self.layer_of_node: dict[str, str] = {}
        self._follow()
        self.blocks = self._find_blocks()

    def model(self, architecture: Architecture) -> ov.Model:
        """The INT8 graph of one architecture, a new model, whatever the architecture's resolution."""
        from openvino import opset13 as ops

        units, sides = self.space.units(architecture), self.space.kernels(architecture)
        model = self.maximal.clone()
        nodes = {node.get_friendly_name(): node for node in model.get_ordered_ops()}
        for cut in self._cuts:
            consumer = nodes[cut.consumer]
            constant = consumer.input_value(cut.port).get_node()
            if cut.is_shape:
                value = _shape_for(constant.data, cut.dims, units)
            else:
                value = self._sliced(constant.data, cut.dims, units)
                if cut.crop is not None:
                    value = _cropped(value, sides[cut.crop[0]], n_axes=cut.crop[1])
            if value.shape != constant.data.shape or cut.is_shape:
                replacement = ops.constant(np.ascontiguousarray(value), constant.get_element_type())
                replacement.set_friendly_name(constant.get_friendly_name())
                consumer.input(cut.port).replace_source_output(replacement.output(0))
        for padding in self._paddings:
            _shrink_padding(nodes[padding.node], padding.sides, sides[padding.kernel_slot])
        for number in self._numbers:
            nodes[number.node].set_attribute(number.name, _size(number.dim, units))
        for slot, kept in self.space.kept(architecture).items():
            dropped = self._runs[slot][kept:]
            if dropped:  # the run's last exit is read from the first dropped block's entry
                _bypass(nodes[dropped[0][0]], nodes[dropped[-1][1]])
        model.validate_nodes_and_infer_types()
        return model

    def _full(self, group: int | None) -> int:
        return 1 if group is None else self.space.groups[group].n_units

    def _sliced(self, value: Any, dims: Dims, units: tuple[int, ...]) -> Any:
        for axis, dim in enumerate(dims):
            pieces, start = [], 0
            for segment in dim:
                kept = segment.per_unit * (1 if segment.group is None else units[segment.group])
                pieces.append(value[(slice(None),) * axis + (slice(start, start + kept),)])
                start += segment.per_unit * self._full(segment.group)
            value = pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis)
        return value

    def _follow(self) -> None:
        dynamic: set[str] = set()
        names: set[str] = set()
        for node in self.maximal.get_ordered_ops():
            name = node.get_friendly_name()
            if name in names:
                raise OvnasError(f"the quantised graph has two nodes named {name!r}")
            names.add(name)
            sources = [value.get_node().get_friendly_name() for value in node.input_values()]
            if node.get_type_name() == "Parameter" or dynamic & set(sources):
                dynamic.add(name)
                self._visit(node, [source in dynamic for source in sources])
        missing = set(self._layers) - set(self.layer_of_node.values())
        if missing:
            raise OvnasError(f"layers not found in the quantised graph: {', '.join(sorted(missing))}")

    def _visit(self, node: Any, is_dynamic: list[bool]) -> None:
        name, kind = node.get_friendly_name(), node.get_type_name()
        sources = [
            self._dims_of(value) if live else None
            for value, live in zip(node.input_values(), is_dynamic, strict=True)
        ]
        data = [dims for dims in sources if dims is not None]
        if kind == "Result":
            return
        shape = tuple(node.output(0).shape)
        rule = _RULES.get(kind)
        n_read = sum(bool(output.get_target_inputs()) for output in node.outputs()[1:])
        if rule is None or (n_read and kind not in _SPLITS):
            self._require_fixed(node, data)
            self.outputs[name] = tuple((Segment(None, n),) for n in shape)
            return
        self.outputs[name] = rule(self, node, sources, shape)

    def _dims_of(self, value: Any) -> Dims:
        if value.get_index() > 0:
            known = self._further.get((value.get_node().get_friendly_name(), value.get_index()))
            # Otherwise `_visit` has found all channels fixed.
            return known or tuple((Segment(None, n),) for n in value.shape)
        return self.outputs[value.get_node().get_friendly_name()]

    def _require_fixed(self, node: Any, data: list[Dims]) -> None:
        if any(self.space.is_free(dim) for dims in data for dim in dims):
            raise OvnasError(
                f"the quantised graph has a {node.get_type_name()} ({node.get_friendly_name()}) whose "
                "channels cannot be followed; fix the layers around it"
            )

    def _assign(self, node: Any, port: int, dims: Dims, crop: tuple[int, int] | None = None) -> None:
        """Gives the constant (sub)graph at an input its dimensions, broadcast to `dims`."""
        source = node.input_value(port).get_node()
        shape = tuple(source.output(0).shape)
        own = tuple(
            (Segment(None, 1),) if n == 1 else dim
            for n, dim in zip(shape, dims[len(dims) - len(shape) :], strict=True)
        )
        if len(shape) < len(dims) or (crop and all(n == 1 for n in shape[-crop[1] :])):
            crop = None  # scales and zero points
        if crop is None and all(segment.group is None for dim in own for segment in dim):
            return
        for n, dim in zip(shape, own, strict=True):
            if n != sum(s.per_unit * self._full(s.group) for s in dim):
                raise OvnasError(
                    f"the constant at {node.get_friendly_name()} has shape {shape}, which does not fit "
                    "the space"
                )
        kind = source.get_type_name()
        if kind == "Constant":
            self._cuts.append(_Cut(node.get_friendly_name(), port, own, crop=crop))
        elif kind in _ELEMENTWISE:
            for inner in range(source.get_input_size()):
                self._assign(source, inner, own, crop)
        else:
            raise OvnasError(f"a weight passes a {kind}, which cannot be sliced")

    def _layer(self, node: Any) -> Layer:
        name = node.get_friendly_name()
        match = _LAYER_NAME.match(name)
        layer = self._layers.get(match["path"]) if match else None
        if layer is None:
            raise OvnasError(f"the quantised graph's {name!r} is no layer of the space")
        self.layer_of_node[name] = layer.name
        return layer

    def _assign_kernel(self, node: Any, layer: Layer, dims: Dims) -> None:
        """Gives a convolution's weights their dimensions, and crops them if the layer's kernel is elastic."""
        if layer.kernel_slot is None:
            self._assign(node, 1, dims)
            return
        n_axes = len(node.get_attributes()["strides"])
        self._assign(node, 1, dims, (layer.kernel_slot, n_axes))
        sides = tuple(sum(s.per_unit for s in dim) for dim in dims[-n_axes:])
        self._paddings.append(_Padding(node.get_friendly_name(), layer.kernel_slot, sides))

    def _find_blocks(self) -> dict[str, Block]:
        nodes = {node.get_friendly_name(): node for node in self.maximal.get_ordered_ops()}
        result = {}
        for slot, run in self._runs.items():
            for position, (entry, end) in enumerate(run):
                # What hangs on the entry outside the block (its quantiser) is not reached: the walk
                # goes up from the exit and stops where it leaves the block.
                inside = {end}
                stack = [nodes[end]]
                while stack:
                    for value in stack.pop().input_values():
                        source = value.get_node()
                        name = source.get_friendly_name()
                        if name not in inside and name != entry and name in self.outputs:
                            inside.add(name)
                            stack.append(source)
                for name in inside:
                    if not self._reads_only(nodes[name], entry):
                        result[name] = Block(slot, position)
        return result

    def _reads_only(self, node: Any, entry: str) -> bool:
        """A quantiser directly at the entry serves the shortcut or the next kept block alike."""
        if node.get_type_name() != "FakeQuantize":
            return False
        return bool(node.input_value(0).get_node().get_friendly_name() == entry)


class SlicedGraphs(SlicedGraph):
    """INT8 OpenVINO models of any architecture of `network`: the graph for the largest input, and one for
    each smaller resolution. Those are quantised on their own, for a converted graph holds sizes of its maps.
    """

    def __init__(self, network: ElasticNetwork, example_input: Tensor, samples: Tensor) -> None:
        """Converts and quantises the maximal network at each resolution. Raises as `SlicedGraph`."""
        super().__init__(network, example_input, samples)
        self._smaller = {
            side: SlicedGraph(network, resized(example_input, side), resized(samples, side))
            for side in self.space.resolutions[:-1]
        }

    def at(self, architecture: Architecture) -> SlicedGraph:
        """The graph that the architecture is a slice of."""
        side = self.space.resolution(architecture)
        return self if side is None else self._smaller.get(side, self)

    def model(self, architecture: Architecture) -> ov.Model:
        """The INT8 graph of one architecture, a new model."""
        graph = self.at(architecture)
        return super().model(architecture) if graph is self else graph.model(architecture)


def _bypass(entry: Any, end: Any) -> None:
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


def _cropped(weights: Any, side: int, *, n_axes: int) -> Any:
    """The centre of a convolution's weights, whose last axes are those of the kernel."""
    for axis in range(weights.ndim - n_axes, weights.ndim):
        whole = weights.shape[axis]
        kept = min(whole, side)
        weights = weights.take(range((whole - kept) // 2, (whole + kept) // 2), axis=axis)
    return weights


def _shrink_padding(node: Any, sides: tuple[int, ...], side: int) -> None:
    attributes = node.get_attributes()
    if attributes["auto_pad"] != "explicit":
        return
    steps = zip(sides, attributes["dilations"], strict=True)
    lost = [step * (whole - min(whole, side)) // 2 for whole, step in steps]
    for name in ("pads_begin", "pads_end"):
        node.set_attribute(name, [n - less for n, less in zip(attributes[name], lost, strict=True)])


def _size(dim: Dim, units: tuple[int, ...]) -> int:
    return sum(s.per_unit * (1 if s.group is None else units[s.group]) for s in dim)


def _per(dim: Dim, bundle: int) -> Dim:
    """`dim` counted in bundles of so many elements."""
    return tuple(Segment(s.group, s.per_unit // bundle) for s in dim)


def _shape_for(target: Any, dims: Dims, units: tuple[int, ...]) -> Any:
    """A Reshape's target with each explicit size of a shrunk dimension replaced."""
    result = np.array(target)
    for axis, dim in enumerate(dims):
        if result[axis] > 0:
            result[axis] = _size(dim, units)
    return result


def _elementwise(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    rank = len(shape)
    result: list[Dim] = [(Segment(None, 1),)] * rank
    for dims in sources:
        for axis, dim in enumerate(dims or (), start=rank - len(dims or ())):
            if sum(s.per_unit * graph._full(s.group) for s in dim) == shape[axis]:
                result[axis] = dim
    for port, dims in enumerate(sources):
        if dims is None:
            graph._assign(node, port, tuple(result))
    return tuple(result)


def _convolution(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    layer, x = graph._layer(node), sources[0]
    assert x is not None
    _expect(graph, node, layer.inputs, x[1])
    rest = tuple((Segment(None, n),) for n in node.input_value(1).get_node().output(0).shape[2:])
    graph._assign_kernel(node, layer, (layer.outputs, layer.inputs, *rest))
    return (x[0], layer.outputs, *((Segment(None, n),) for n in shape[2:]))


def _group_convolution(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    layer, x = graph._layer(node), sources[0]
    assert x is not None
    _expect(graph, node, layer.inputs, x[1])
    weights = node.input_value(1).get_node().output(0).shape
    rest = tuple((Segment(None, n),) for n in weights[1:])
    graph._assign_kernel(node, layer, (_per(layer.outputs, weights[1]), *rest))
    return (x[0], layer.outputs, *((Segment(None, n),) for n in shape[2:]))


def _transposed(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    layer, x = graph._layer(node), sources[0]
    assert x is not None
    _expect(graph, node, layer.inputs, x[1])
    rest = tuple((Segment(None, n),) for n in node.input_value(1).get_node().output(0).shape[2:])
    graph._assign(node, 1, (layer.inputs, layer.outputs, *rest))
    return (x[0], layer.outputs, *((Segment(None, n),) for n in shape[2:]))


def _transposed_groups(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    layer, x = graph._layer(node), sources[0]
    assert x is not None
    _expect(graph, node, layer.inputs, x[1])
    weights = node.input_value(1).get_node().output(0).shape
    rest = tuple((Segment(None, n),) for n in weights[1:])
    graph._assign(node, 1, (_per(layer.inputs, weights[1]), *rest))
    return (x[0], layer.outputs, *((Segment(None, n),) for n in shape[2:]))


def _matmul(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    x = sources[0]
    if x is None or len(sources) != 2 or sources[1] is not None:
        graph._require_fixed(node, [dims for dims in sources if dims is not None])
        return tuple((Segment(None, n),) for n in shape)
    layer = graph._layer(node)
    _expect(graph, node, layer.inputs, x[-1])
    pair = (layer.outputs, layer.inputs)
    is_transposed = bool(node.get_attributes()["transpose_b"])
    graph._assign(node, 1, pair if is_transposed else pair[::-1])
    return (*x[:-1], layer.outputs)


def _spatial(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    x = sources[0]
    assert x is not None
    return (*x[:2], *((Segment(None, n),) for n in shape[2:]))


def _reduction(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    x = sources[0]
    assert x is not None
    axes = {int(a) % len(x) for a in np.atleast_1d(node.input_value(1).get_node().data)}
    graph._require_fixed(node, [tuple(x[axis] for axis in axes)])
    if node.get_attributes()["keep_dims"]:
        return tuple((Segment(None, 1),) if i in axes else dim for i, dim in enumerate(x))
    return tuple(dim for i, dim in enumerate(x) if i not in axes)


def _reshape(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    x = sources[0]
    assert x is not None
    fixed_dims: Dims = tuple((Segment(None, n),) for n in shape)
    if not any(graph.space.is_free(dim) for dim in x):
        return fixed_dims
    target = node.input_value(1).get_node()
    groups = _groups_of(graph)
    made = None
    if target.get_type_name() == "Constant":
        varies = [int(n) == -1 for n in target.data]
        made = reshape(groups, x, tuple(shape), varies=varies, reason="")
    # Where channels would have to be cut or joined anew, the graph is not what the space describes.
    if made is None or groups.n_groups != len(graph.space.groups):
        graph._require_fixed(node, [x])
        return fixed_dims
    graph._cuts.append(_Cut(node.get_friendly_name(), 1, made, is_shape=True))
    return made


def _groups_of(graph: SlicedGraph) -> ChannelGroups:
    groups = ChannelGroups()
    for group in graph.space.groups:
        index = groups.new(group.name, group.n_units)
        if group.slot is None:
            groups.freeze([(Segment(index, 1),)], group.reason)
    return groups


def _splitting(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    """Split and VariadicSplit: a split in equal parts stays only where nothing can be chosen."""
    x = sources[0]
    assert x is not None
    name = node.get_friendly_name()
    axis = int(node.input_value(1).get_node().data) % len(x)
    lengths = [int(output.shape[axis]) for output in node.outputs()]
    groups = _groups_of(graph)
    pieces = groups.cut(x[axis], lengths)
    if groups.n_groups != len(graph.space.groups) or node.get_type_name() == "Split":
        graph._require_fixed(node, [(x[axis],)])
    assert pieces is not None
    for i, piece in enumerate(pieces):
        graph._further[name, i] = (*x[:axis], piece, *x[axis + 1 :])
    if node.get_type_name() == "VariadicSplit":
        graph._cuts.append(_Cut(name, 2, tuple(pieces), is_shape=True))
    return graph._further[name, 0]


def _group_normalization(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    x = sources[0]
    assert x is not None
    for port in (1, 2):
        graph._assign(node, port, (x[1],))
    n_groups = int(node.get_attributes()["num_groups"])
    if n_groups > 1 and graph.space.is_free(x[1]):
        n_channels = sum(s.per_unit * graph._full(s.group) for s in x[1])
        number = _Number(node.get_friendly_name(), "num_groups", _per(x[1], n_channels // n_groups))
        graph._numbers.append(number)
    return x


def _prelu(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    """Its slope has one axis, that of the channels."""
    x = sources[0]
    assert x is not None
    if len(node.input_value(1).get_node().output(0).shape) == 1:
        graph._assign(node, 1, (x[1],))
        return x
    return _elementwise(graph, node, sources, shape)


def _normalization(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    x = sources[0]
    assert x is not None
    return x


def _squeeze(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    x = sources[0]
    assert x is not None
    axes = {int(a) % len(x) for a in np.atleast_1d(node.input_value(1).get_node().data)}
    return tuple(dim for i, dim in enumerate(x) if i not in axes)


def _unsqueeze(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    x = sources[0]
    assert x is not None
    axes = {int(a) % len(shape) for a in np.atleast_1d(node.input_value(1).get_node().data)}
    rest = iter(x)
    return tuple((Segment(None, 1),) if i in axes else next(rest) for i in range(len(shape)))


def _softmax(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    x = sources[0]
    assert x is not None
    graph._require_fixed(node, [(x[int(node.get_attributes()["axis"])],)])
    return x


def _pad(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    x = sources[0]
    assert x is not None
    amounts = np.stack([node.input_value(port).get_node().data for port in (1, 2)])
    padded = {i for i, pair in enumerate(amounts.T) if pair.any()}
    graph._require_fixed(node, [tuple(x[i] for i in padded)])
    return tuple((Segment(None, shape[i]),) if i in padded else dim for i, dim in enumerate(x))


def _concatenation(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    data = [dims for dims in sources if dims is not None]
    if len(data) != len(sources):
        graph._require_fixed(node, data)
        return tuple((Segment(None, n),) for n in shape)
    axis = int(node.get_attributes()["axis"]) % len(shape)
    joined = tuple(segment for dims in data for segment in dims[axis])
    return tuple(joined if i == axis else dim for i, dim in enumerate(data[0]))


def _transpose(graph: SlicedGraph, node: Any, sources: list[Dims | None], shape: Any) -> Dims:
    x = sources[0]
    assert x is not None
    return tuple(x[int(axis)] for axis in node.input_value(1).get_node().data)


def _expect(graph: SlicedGraph, node: Any, expected: Dim, actual: Dim) -> None:
    if _merged(graph, expected) != _merged(graph, actual):
        raise OvnasError(
            f"the quantised graph's {node.get_friendly_name()!r} reads other channels than the space says"
        )


def _merged(graph: SlicedGraph, dim: Dim) -> Dim:
    """`dim` with neighbouring segments that cannot be chosen made one."""
    result: list[Segment] = []
    for segment in dim:
        if not graph.space.is_free((segment,)):
            n = segment.per_unit * graph._full(segment.group)
            if result and result[-1].group is None:
                n += result.pop().per_unit
            segment = Segment(None, n)
        result.append(segment)
    return tuple(result)


_ELEMENTWISE = {
    "FakeQuantize", "Convert", "Multiply", "Subtract", "Add", "Divide", "Maximum", "Minimum", "Power",
    "Relu", "Sigmoid", "Tanh", "Clamp", "Elu", "Gelu", "Swish", "HSwish", "HSigmoid", "Mish",
    "SoftPlus", "Abs", "Negative", "Exp", "Sqrt",
}  # fmt: skip

_SPLITS = ("Split", "VariadicSplit")

# Operations whose output holds only values of their first input, so that NNCF quantises before them.
_LEVELS_STAY = {"MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze"}

_RULES: dict[str, Callable[[SlicedGraph, Any, list[Dims | None], Any], Dims]] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    "Parameter": lambda graph, node, sources, shape: tuple((Segment(None, n),) for n in shape),
    "Convolution": _convolution,
    "GroupConvolution": _group_convolution,
    "ConvolutionBackpropData": _transposed,
    "GroupConvolutionBackpropData": _transposed_groups,
    "MatMul": _matmul,
    "GroupNormalization": _group_normalization,
    "MVN": _normalization,
    "PRelu": _prelu,
    "SoftMax": _softmax,
    "Softmax": _softmax,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Pad": _pad,
    **dict.fromkeys(_SPLITS, _splitting),
    "AdaptiveAvgPool": _spatial,
    "AdaptiveMaxPool": _spatial,
    "MaxPool": _spatial,
    "AvgPool": _spatial,
    "Interpolate": _spatial,
    "ReduceMean": _reduction,
    "ReduceSum": _reduction,
    "ReduceMax": _reduction,
    "Reshape": _reshape,
    "Concat": _concatenation,
    "Transpose": _transpose,
}
