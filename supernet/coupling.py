"""Follows channels through a traced graph: which dimension of which parameter belongs to which group.

One rule an operation, in one registry. An operation without a rule fixes the channels that reach it,
with its name as the reason; it never slices wrongly.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from supernet.channels import ChannelGroups, fixed
from supernet.graph import TracedModel
from supernet.space import Dim, Segment

__all__ = ["Coupling", "LayerCall", "follow_channels"]

Dims = tuple[Dim, ...]
Rule = Callable[["Coupling", fx.Node, Dims], Dims]


@dataclass(frozen=True)
class LayerCall:
    """One call of a convolution or linear layer."""

    node: str
    module: str
    inputs: Dim
    outputs: Dim


@dataclass
class Coupling:
    """The result: groups, each parameter's dimensions, the layers in order, each node's dimensions."""

    traced: TracedModel
    groups: ChannelGroups = field(default_factory=ChannelGroups)
    parameters: dict[str, Dims] = field(default_factory=dict)
    layers: list[LayerCall] = field(default_factory=list)
    dims: dict[str, Any] = field(default_factory=dict)

    def module_of(self, node: fx.Node) -> nn.Module:
        """The module that a call_module node calls."""
        return self.traced.module.get_submodule(str(node.target))

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """The node's output shape in the example run."""
        return tuple(self.traced.shapes[node.name])

    def set_parameter(self, name: str, dims: Dims) -> None:
        """Records a parameter's dimensions; a shared module's calls must agree."""
        if name in self.parameters:
            pairs = zip(self.parameters[name], dims, strict=True)
            dims = tuple(self.groups.unify(a, b, f"{name} is shared") for a, b in pairs)
        self.parameters[name] = dims

    def inputs_of(self, node: fx.Node) -> list[Dims]:
        """Dimensions of every tensor that the node reads."""
        found: list[Dims] = []
        for source in node.all_input_nodes:
            value = self.dims.get(source.name)
            if isinstance(value, list):
                found.extend(value)
            elif value is not None:
                found.append(value)
        return found


def follow_channels(traced: TracedModel) -> Coupling:
    """Walks the graph once, in order."""
    coupling = Coupling(traced)
    for node in traced.module.graph.nodes:
        coupling.dims[node.name] = _visit(coupling, node)
    return coupling


def _visit(coupling: Coupling, node: fx.Node) -> Any:
    shape = coupling.traced.shapes.get(node.name)
    if node.op == "output":
        _freeze_inputs(coupling, node, "its channels are the network's output")
        return None
    if shape is None:
        if coupling.inputs_of(node) and not _is_size_query(node):
            _freeze_inputs(coupling, node, f"{_operation(coupling, node)} is not understood")
        return None
    if node.op == "placeholder":
        return tuple(fixed(n) for n in shape)
    if node.op == "get_attr":
        name = str(node.target)
        dims = tuple(
            _unit_dim(coupling.groups.new(name, n, produced=False)) if n > 1 else fixed(1) for n in shape
        )
        coupling.set_parameter(name, dims)
        return dims
    rule = RULES.get(_key(coupling, node))
    inputs = coupling.inputs_of(node)
    if rule is None or isinstance(shape, list) or not inputs:
        if inputs:
            _freeze_inputs(coupling, node, f"{_operation(coupling, node)} is not understood")
        if isinstance(shape, list):
            return [tuple(fixed(n) for n in one) for one in shape]
        return tuple(fixed(n) for n in shape)
    return rule(coupling, node, inputs[0])


def _key(coupling: Coupling, node: fx.Node) -> Any:
    return type(coupling.module_of(node)) if node.op == "call_module" else node.target


def _operation(coupling: Coupling, node: fx.Node) -> str:
    if node.op == "call_module":
        return f"{type(coupling.module_of(node)).__name__} ({node.target})"
    return getattr(node.target, "__name__", str(node.target))


def _is_size_query(node: fx.Node) -> bool:
    return node.target in ("size", "dim") or (
        node.target is getattr and node.args[1] in ("shape", "ndim", "device", "dtype")
    )


def _freeze_inputs(coupling: Coupling, node: fx.Node, reason: str) -> None:
    for dims in coupling.inputs_of(node):
        coupling.groups.freeze(dims, reason)


def _unit_dim(group: int, per_unit: int = 1) -> Dim:
    return (Segment(group, per_unit),)


def _convolution(coupling: Coupling, node: fx.Node, x: Dims) -> Dims:
    module = coupling.module_of(node)
    assert isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
    target, groups = str(node.target), coupling.groups
    out_channels, in_per_group = module.weight.shape[:2]
    batch = coupling.shape(node)[0]
    groups.freeze(x[2:], f"convolution {target} slides over them")
    if module.groups == 1:
        seen = x[1]
        outputs = _unit_dim(groups.new(target, out_channels))
    else:
        unit = groups.new(target, module.groups)
        groups.unify(x[1], _unit_dim(unit, in_per_group), f"grouped convolution {target}")
        outputs = _unit_dim(unit, out_channels // module.groups)
        seen = fixed(in_per_group)
    area = tuple(fixed(n) for n in module.kernel_size)
    coupling.set_parameter(f"{target}.weight", (outputs, seen, *area))
    if module.bias is not None:
        coupling.set_parameter(f"{target}.bias", (outputs,))
    coupling.layers.append(LayerCall(node.name, target, x[1], outputs))
    return (fixed(batch), outputs, *(fixed(n) for n in coupling.shape(node)[2:]))


def _linear(coupling: Coupling, node: fx.Node, x: Dims) -> Dims:
    module = coupling.module_of(node)
    assert isinstance(module, nn.Linear)
    target = str(node.target)
    outputs = _unit_dim(coupling.groups.new(target, module.out_features))
    coupling.set_parameter(f"{target}.weight", (outputs, x[-1]))
    if module.bias is not None:
        coupling.set_parameter(f"{target}.bias", (outputs,))
    coupling.layers.append(LayerCall(node.name, target, x[-1], outputs))
    return (*x[:-1], outputs)


def _batch_norm(coupling: Coupling, node: fx.Node, x: Dims) -> Dims:
    module = coupling.module_of(node)
    for name in ("weight", "bias", "running_mean", "running_var"):
        if getattr(module, name, None) is not None:
            coupling.set_parameter(f"{node.target}.{name}", (x[1],))
    return x


def _pointwise(coupling: Coupling, node: fx.Node, x: Dims) -> Dims:
    return x if len(coupling.inputs_of(node)) == 1 else _unknown(coupling, node)


def _pooling(coupling: Coupling, node: fx.Node, x: Dims) -> Dims:
    coupling.groups.freeze(x[2:], f"{_operation(coupling, node)} slides over them")
    return (*x[:2], *(fixed(n) for n in coupling.shape(node)[2:]))


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
            reason = f"{_operation(coupling, node)} joins channels of different make-up"
            result.append(coupling.groups.unify(a, b, reason))
    return tuple(result)


def _concatenation(coupling: Coupling, node: fx.Node, x: Dims) -> Dims:
    operands = coupling.inputs_of(node)
    listed = node.args[0] if node.args else node.kwargs.get("tensors")
    if not isinstance(listed, (list, tuple)) or len(listed) != len(operands):
        return _unknown(coupling, node)
    axis = node.kwargs.get("dim", node.kwargs.get("axis", node.args[1] if len(node.args) > 1 else 0))
    if not isinstance(axis, int):
        return _unknown(coupling, node)
    axis %= len(x)
    result = list(x)
    for dims in operands[1:]:
        for i, dim in enumerate(dims):
            if i == axis:
                result[i] = result[i] + dim
            else:
                result[i] = coupling.groups.unify(result[i], dim, "concatenation")
    return tuple(result)


def _flatten(coupling: Coupling, node: fx.Node, x: Dims) -> Dims:
    """flatten(1), and view or reshape to (B, -1): channels times pixels."""
    shape = coupling.shape(node)
    if node.op == "call_module":
        dynamic = True
    elif node.target in ("view", "reshape"):
        dynamic = len(node.args) == 3 and bool(node.args[2] == -1)
    elif node.target is torch.reshape:
        target = node.args[1]
        dynamic = isinstance(target, (list, tuple)) and list(target)[1:] == [-1]
    else:
        dynamic = True
    if len(x) < 2:
        return _unknown(coupling, node)
    rest = [coupling.groups.resolve(dim) for dim in x[2:]]
    plain = all(segment.group is None for dim in rest for segment in dim)
    repeat = math.prod(coupling.groups.size(dim) for dim in rest)
    expected = (coupling.groups.size(x[0]), coupling.groups.size(coupling.groups.resolve(x[1])) * repeat)
    if not (dynamic and plain and shape == expected):
        return _unknown(coupling, node)
    return (x[0], tuple(Segment(s.group, s.per_unit * repeat) for s in x[1]))


def _mean(coupling: Coupling, node: fx.Node, x: Dims) -> Dims:
    axes = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    keep = node.kwargs.get("keepdim", node.args[2] if len(node.args) > 2 else False)
    if isinstance(axes, int):
        axes = (axes,)
    if not isinstance(axes, (list, tuple)) or not all(isinstance(a, int) for a in axes):
        return _unknown(coupling, node)
    reduced = {int(a) % len(x) for a in axes if isinstance(a, int)}
    for axis in reduced:
        coupling.groups.freeze((x[axis],), f"{_operation(coupling, node)} over channels")
    if keep:
        return tuple(fixed(1) if i in reduced else dim for i, dim in enumerate(x))
    return tuple(dim for i, dim in enumerate(x) if i not in reduced)


def _unknown(coupling: Coupling, node: fx.Node) -> Dims:
    _freeze_inputs(coupling, node, f"{_operation(coupling, node)} is not understood")
    return tuple(fixed(n) for n in coupling.shape(node))


_POINTWISE_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish,
    nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Identity, nn.Dropout,
    nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
)  # fmt: skip
_POINTWISE_FUNCTIONS = (
    F.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.mish, F.hardswish, F.hardsigmoid, F.hardtanh,
    F.sigmoid, F.tanh, F.softplus, F.dropout, F.dropout2d, torch.relu, torch.sigmoid, torch.tanh,
    torch.clamp, operator.neg, torch.neg, torch.abs, torch.exp, torch.sqrt,
    "relu", "relu_", "sigmoid", "tanh", "clamp", "contiguous", "float", "clone", "detach",
)  # fmt: skip
_BINARY = (
    operator.add, operator.iadd, operator.sub, operator.mul, operator.imul, operator.truediv, torch.add,
    torch.sub, torch.mul, torch.div, "add", "add_", "sub", "mul", "mul_", "div",
)  # fmt: skip
_POOLING = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool2d, nn.Upsample,
    F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.interpolate,
)  # fmt: skip

RULES: dict[Any, Rule] = {
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _convolution),
    nn.Linear: _linear,
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _batch_norm),
    **dict.fromkeys(_POINTWISE_MODULES, _pointwise),
    **dict.fromkeys(_POINTWISE_FUNCTIONS, _pointwise),
    **dict.fromkeys(_POOLING, _pooling),
    **dict.fromkeys(_BINARY, _binary),
    **dict.fromkeys((torch.cat, torch.concat), _concatenation),
    **dict.fromkeys((nn.Flatten, torch.flatten, "flatten", "view", "reshape", torch.reshape), _flatten),
    **dict.fromkeys((torch.mean, "mean"), _mean),
}
