"""The registry of rules: how channels pass an operation. A new operation is one line, or one function."""

from __future__ import annotations

import operator
import re
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from supernet.channels import fixed
from supernet.coupling import Coupling, Dims, Number, Rule
from supernet.layer_rules import LAYER_RULES
from supernet.shape_rules import SHAPE_RULES

__all__ = ["RULES"]


def _pointwise(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    return x if len(coupling.inputs_of(node)) == 1 else coupling.unknown(node)


def _pooling(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    named = re.search(r"([123])d", coupling.operation(node).split(" ")[0].lower())
    if named and len(x) != int(named[1]) + 2:  # no batch, or channels for pixels
        return coupling.unknown(node)
    coupling.groups.freeze(x[2:], f"{coupling.operation(node)} slides over them")
    shape = coupling.traced.shapes[node.name]
    if isinstance(shape, list):  # with the places of the maxima
        return [(*x[:2], *(fixed(n) for n in one[2:])) for one in shape]
    return (*x[:2], *(fixed(n) for n in shape[2:]))


def _binary(coupling: Coupling, node: fx.Node, x: Dims) -> Dims:
    operands = coupling.inputs_of(node)
    if len(operands) == 1:
        return x
    rank = max(len(dims) for dims in operands)
    left, right = ((fixed(1),) * (rank - len(dims)) + dims for dims in operands)
    result = []
    for a, b in zip(left, right, strict=True):
        if coupling.groups.size(coupling.groups.resolve(a)) == 1:
            result.append(b)
        elif coupling.groups.size(coupling.groups.resolve(b)) == 1:
            result.append(a)
        else:
            result.append(coupling.groups.unify(a, b, coupling.operation(node)))
    return tuple(result)


def _softmax(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    axis: Any = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    if node.op == "call_module":
        axis = coupling.module_of(node).dim
    if not isinstance(axis, int):
        return coupling.unknown(node)
    coupling.groups.freeze((x[axis],), f"{coupling.operation(node)} over channels")
    return x


def _functional_layer_norm(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    """F.layer_norm(input, normalized_shape, weight, bias), whose parameters are nodes of their own."""
    sizes = node.args[1] if len(node.args) > 1 else node.kwargs.get("normalized_shape")
    if not isinstance(sizes, (tuple, list)) or not all(isinstance(n, int) for n in sizes):
        return coupling.unknown(node)
    normalized = x[len(x) - len(sizes) :]
    for own in coupling.inputs_of(node)[1:]:
        if len(own) != len(normalized):
            return coupling.unknown(node)
        for a, b in zip(normalized, own, strict=True):
            coupling.groups.unify(a, b, coupling.operation(node))
    root: tuple[int | str, ...] = (0, 1) if len(node.args) > 1 else (1, "normalized_shape")
    coupling.numbers[node.name] = tuple(Number((*root, i), dim) for i, dim in enumerate(normalized))
    return x


_POINTWISE_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish,
    nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Identity, nn.Dropout,
    nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
)  # fmt: skip
_POINTWISE_FUNCTIONS = (
    F.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.mish, F.hardswish, F.hardsigmoid, F.hardtanh,
    F.sigmoid, F.tanh, F.softplus, F.dropout, F.dropout2d, torch.relu, torch.sigmoid, torch.tanh,
    torch.clamp, operator.neg, torch.neg, torch.abs, torch.exp, torch.sqrt, torch.rsqrt,
    "relu", "relu_", "sigmoid", "tanh", "clamp", "contiguous", "float", "clone", "detach", "rsqrt", "sqrt",
)  # fmt: skip
_BINARY = (
    operator.add, operator.iadd, operator.sub, operator.mul, operator.imul, operator.truediv, torch.add,
    torch.sub, torch.mul, torch.div, "add", "add_", "sub", "mul", "mul_", "div",
    "expand_as",
)  # fmt: skip
_POOLING = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool2d, nn.Upsample,
    nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d,
    F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.interpolate,
    torch.max_pool2d, torch.adaptive_avg_pool1d,
)  # fmt: skip

RULES: dict[Any, Rule] = {
    **LAYER_RULES,
    **SHAPE_RULES,
    **dict.fromkeys(_POINTWISE_MODULES, _pointwise),
    **dict.fromkeys(_POINTWISE_FUNCTIONS, _pointwise),
    **dict.fromkeys(_POOLING, _pooling),
    **dict.fromkeys(_BINARY, _binary),
    **dict.fromkeys((nn.Softmax, F.softmax, torch.softmax, "softmax"), _softmax),
    F.layer_norm: _functional_layer_norm,
}
