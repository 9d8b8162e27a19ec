"""Channels through the operations of a quantised OpenVINO graph: one rule an operation."""

from __future__ import annotations

from typing import Any

import numpy as np

from supernet.channels import fixed
from supernet.int8_coupling import ELEMENTWISE, Dims, Int8Coupling, Int8Rule
from supernet.int8_edits import Cut, Number
from supernet.reshaping import reshape
from supernet.space import Dim, Segment

__all__ = ["INT8_RULES", "SPLITS"]

Sources = list[Dims | None]
Shape = tuple[int, ...]
SPLITS = ("Split", "VariadicSplit")


def _fixed(shape: Shape) -> Dims:
    return tuple(fixed(n) for n in shape)


def _per(dim: Dim, bundle: int) -> Dim:
    """`dim` counted in bundles of so many elements."""
    return tuple(Segment(s.group, s.per_unit // bundle) for s in dim)


def _elementwise(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    rank = len(shape)
    result: list[Dim] = [fixed(1)] * rank
    for dims in sources:
        for axis, dim in enumerate(dims or (), start=rank - len(dims or ())):
            if coupling.size(dim) == shape[axis]:
                result[axis] = dim
    for port, dims in enumerate(sources):
        if dims is None:
            coupling.assign(node, port, tuple(result))
    return tuple(result)


def _convolution(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    """Of all kinds: the weights' first axes are output and input channels, the other way round if it is
    transposed, or the groups alone."""
    x, weights = sources[0], node.input_value(1).get_node().output(0).shape
    assert x is not None
    if coupling.is_opaque(node, x):
        return _fixed(shape)
    layer = coupling.layer(node, x[1])
    channels = {
        "Convolution": (layer.outputs, layer.inputs),
        "ConvolutionBackpropData": (layer.inputs, layer.outputs),
        "GroupConvolution": (_per(layer.outputs, weights[1]),),
        "GroupConvolutionBackpropData": (_per(layer.inputs, weights[1]),),
    }[node.get_type_name()]
    coupling.assign_kernel(node, layer, (*channels, *_fixed(weights[len(channels) :])))
    return (x[0], layer.outputs, *_fixed(shape[2:]))


def _matmul(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    x = sources[0]
    if x is None or len(sources) != 2 or sources[1] is not None:
        coupling.require_fixed(node, [dims for dims in sources if dims is not None])
        return _fixed(shape)
    if coupling.is_opaque(node, x):
        return _fixed(shape)
    attributes = node.get_attributes()
    if attributes["transpose_a"]:  # a transposition before it was merged into it
        x = (*x[:-2], x[-1], x[-2])
    layer = coupling.layer(node, x[-1])
    pair = (layer.outputs, layer.inputs)
    coupling.assign(node, 1, pair if attributes["transpose_b"] else pair[::-1])
    return (*x[:-1], layer.outputs)


def _spatial(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    x = sources[0]
    assert x is not None
    return (*x[:2], *_fixed(shape[2:]))


def _reduction(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    x = sources[0]
    assert x is not None
    axes = _axes(node, len(x))
    coupling.require_fixed(node, [tuple(x[axis] for axis in axes)])
    if node.get_attributes()["keep_dims"]:
        return tuple(fixed(1) if i in axes else dim for i, dim in enumerate(x))
    return tuple(dim for i, dim in enumerate(x) if i not in axes)


def _axes(node: Any, rank: int) -> set[int]:
    """What the constant at the second input names."""
    return {int(axis) % rank for axis in np.atleast_1d(node.input_value(1).get_node().data)}


def _reshape(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    x = sources[0]
    assert x is not None
    if not any(coupling.space.is_free(dim) for dim in x):
        return _fixed(shape)
    target = node.input_value(1).get_node()
    groups = coupling.groups()
    made = None
    if target.get_type_name() == "Constant":
        varies = [int(n) == -1 for n in target.data]
        made = reshape(groups, x, shape, varies=varies, operation="")
    # Where channels would have to be cut or joined anew, the graph is not what the space describes.
    if made is None or groups.n_groups != len(coupling.space.groups):
        coupling.require_fixed(node, [x])
        return _fixed(shape)
    coupling.cuts.append(Cut(node.get_friendly_name(), 1, made, is_shape=True))
    return made


def _splitting(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    """Split and VariadicSplit: a split in equal parts stays only where nothing can be chosen."""
    x = sources[0]
    assert x is not None
    name = node.get_friendly_name()
    axis = int(node.input_value(1).get_node().data) % len(x)
    lengths = [int(output.shape[axis]) for output in node.outputs()]
    groups = coupling.groups()
    pieces = groups.cut(x[axis], lengths)
    if groups.n_groups != len(coupling.space.groups) or node.get_type_name() == "Split":
        coupling.require_fixed(node, [(x[axis],)])
    assert pieces is not None
    made = [(*x[:axis], piece, *x[axis + 1 :]) for piece in pieces]
    coupling.further |= {(name, i): dims for i, dims in enumerate(made) if i > 0}
    if node.get_type_name() == "VariadicSplit":
        coupling.cuts.append(Cut(name, 2, tuple(pieces), is_shape=True))
    return made[0]


def _group_normalization(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    x = sources[0]
    assert x is not None
    for port in (1, 2):
        coupling.assign(node, port, (x[1],))
    n_groups = int(node.get_attributes()["num_groups"])
    if n_groups > 1 and coupling.space.is_free(x[1]):
        per_group = coupling.size(x[1]) // n_groups
        coupling.numbers.append(Number(node.get_friendly_name(), "num_groups", _per(x[1], per_group)))
    return x


def _prelu(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    """Its slope has one axis, that of the channels."""
    x = sources[0]
    assert x is not None
    if len(node.input_value(1).get_node().output(0).shape) == 1:
        coupling.assign(node, 1, (x[1],))
        return x
    return _elementwise(coupling, node, sources, shape)


def _normalization(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    x = sources[0]
    assert x is not None
    return x


def _squeeze(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    x = sources[0]
    assert x is not None
    axes = _axes(node, len(x))
    return tuple(dim for i, dim in enumerate(x) if i not in axes)


def _unsqueeze(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    x = sources[0]
    assert x is not None
    axes, rest = _axes(node, len(shape)), iter(x)
    return tuple(fixed(1) if i in axes else next(rest) for i in range(len(shape)))


def _softmax(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    x = sources[0]
    assert x is not None
    coupling.require_fixed(node, [(x[int(node.get_attributes()["axis"])],)])
    return x


def _pad(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    x = sources[0]
    assert x is not None
    amounts = np.stack([node.input_value(port).get_node().data for port in (1, 2)])
    padded = {i for i, pair in enumerate(amounts.T) if pair.any()}
    coupling.require_fixed(node, [tuple(x[i] for i in padded)])
    return tuple(fixed(shape[i]) if i in padded else dim for i, dim in enumerate(x))


def _slice(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    """What takes everything, from the front, does so in narrower networks too."""
    x = sources[0]
    assert x is not None
    steps = node.input_value(3).get_node()
    is_forward = steps.get_type_name() == "Constant" and (steps.data == 1).all()
    if is_forward and shape == tuple(node.get_input_shape(0)):
        return x
    coupling.require_fixed(node, [x])
    return _fixed(shape)


def _concatenation(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    data = [dims for dims in sources if dims is not None]
    if len(data) != len(sources):
        coupling.require_fixed(node, data)
        return _fixed(shape)
    axis = int(node.get_attributes()["axis"]) % len(shape)
    joined = tuple(segment for dims in data for segment in dims[axis])
    return tuple(joined if i == axis else dim for i, dim in enumerate(data[0]))


def _transpose(coupling: Int8Coupling, node: Any, sources: Sources, shape: Shape) -> Dims:
    x = sources[0]
    assert x is not None
    return tuple(x[int(axis)] for axis in node.input_value(1).get_node().data)


INT8_RULES: dict[str, Int8Rule] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    "Parameter": lambda coupling, node, sources, shape: _fixed(shape),
    "Convolution": _convolution,
    "GroupConvolution": _convolution,
    "ConvolutionBackpropData": _convolution,
    "GroupConvolutionBackpropData": _convolution,
    "MatMul": _matmul,
    "GroupNormalization": _group_normalization,
    "MVN": _normalization,
    "PRelu": _prelu,
    "SoftMax": _softmax,
    "Softmax": _softmax,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Pad": _pad,
    "Slice": _slice,
    **dict.fromkeys(SPLITS, _splitting),
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
