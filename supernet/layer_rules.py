"""Channels through layers with weights: convolutions, linear layers, normalisations, PReLU."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from supernet.channels import fixed
from supernet.coupling import Coupling, Dims, LayerCall, Rule
from supernet.space import Dim, Segment

__all__ = ["LAYER_RULES"]


def _convolution(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    module = coupling.module_of(node)
    assert isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
    target, groups = str(node.target), coupling.groups
    out_channels, in_per_group = module.weight.shape[:2]
    if len(x) != module.weight.ndim:
        return coupling.unknown(node)
    groups.freeze((x[0], *x[2:]), f"convolution {target} slides over them")
    if module.groups == 1:
        seen = x[1]
        outputs = _unit_dim(groups.new(target, out_channels))
    else:
        unit = groups.new(target, module.groups)
        groups.unify(x[1], _unit_dim(unit, in_per_group), f"grouped convolution {target}")
        outputs = _unit_dim(unit, out_channels // module.groups)
        seen = fixed(in_per_group)
    area = tuple(fixed(n) for n in module.kernel_size)
    return _layer(coupling, node, (outputs, seen, *area), x, outputs)


def _transposed_convolution(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    module = coupling.module_of(node)
    assert isinstance(module, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d))
    target, groups = str(node.target), coupling.groups
    in_channels, out_per_group = module.weight.shape[:2]
    if len(x) != module.weight.ndim:
        return coupling.unknown(node)
    groups.freeze((x[0], *x[2:]), f"transposed convolution {target} slides over them")
    if module.groups == 1:
        outputs = made = _unit_dim(groups.new(target, out_per_group))
    else:
        unit = groups.new(target, module.groups)
        seen = _unit_dim(unit, in_channels // module.groups)
        groups.unify(x[1], seen, f"grouped transposed convolution {target}")
        outputs, made = _unit_dim(unit, out_per_group), fixed(out_per_group)
    area = tuple(fixed(n) for n in module.kernel_size)
    return _layer(coupling, node, (x[1], made, *area), x, outputs)


def _layer(coupling: Coupling, node: fx.Node, weight: Dims, x: Dims, outputs: Dim) -> Dims:
    target = str(node.target)
    coupling.set_parameter(f"{target}.weight", weight)
    if coupling.module_of(node).bias is not None:
        coupling.set_parameter(f"{target}.bias", (outputs,))
    coupling.layers.append(LayerCall(node.name, target, x[1], outputs))
    return (x[0], outputs, *(fixed(n) for n in coupling.shape(node)[2:]))


def _linear(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    module = coupling.module_of(node)
    assert isinstance(module, nn.Linear)
    target = str(node.target)
    # A layer over the tokens of each channel: its MACs and its kernel would be elastic in two dimensions.
    coupling.groups.freeze(x[:-1], f"{coupling.operation(node)} is applied to each of them")
    outputs = _unit_dim(coupling.groups.new(target, module.out_features))
    coupling.set_parameter(f"{target}.weight", (outputs, x[-1]))
    if module.bias is not None:
        coupling.set_parameter(f"{target}.bias", (outputs,))
    coupling.layers.append(LayerCall(node.name, target, x[-1], outputs))
    return (*x[:-1], outputs)


def _batch_norm(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    """Also InstanceNorm: everything it keeps is of one channel."""
    module, target = coupling.module_of(node), str(node.target)
    if len(x) == _INSTANCE_NORMS.get(type(module), 1):
        return coupling.unknown(node)
    if type(module) in _INSTANCE_NORMS and module.track_running_stats:
        # Only BatchNorm's are estimated again for a sub-network.
        coupling.freeze_inputs(node, f"{coupling.operation(node)} keeps running statistics of instances")
        return tuple(fixed(n) for n in coupling.shape(node))
    for name in ("weight", "bias", "running_mean", "running_var"):
        if getattr(module, name, None) is not None:
            coupling.set_parameter(f"{target}.{name}", (x[1],))
    coupling.attributes[target] = {"num_features": x[1]}
    return x


def _group_norm(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    """Whole groups are left out, so that those that stay have the statistics that they had; of a single
    group channels are."""
    module, target = coupling.module_of(node), str(node.target)
    assert isinstance(module, nn.GroupNorm)
    channels: Dim = x[1]
    attributes: dict[str, Dim | Dims] = {"num_channels": channels}
    if module.num_groups > 1:
        unit = coupling.groups.new(target, module.num_groups, produced=False)
        bundle = _unit_dim(unit, module.num_channels // module.num_groups)
        coupling.groups.unify(channels, bundle, coupling.operation(node))
        attributes["num_groups"] = _unit_dim(unit)
    if module.affine:
        for name in ("weight", "bias"):
            coupling.set_parameter(f"{target}.{name}", (channels,))
    coupling.attributes[target] = attributes
    return x


def _layer_norm(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    module, target = coupling.module_of(node), str(node.target)
    assert isinstance(module, nn.LayerNorm)
    normalized = x[len(x) - len(module.normalized_shape) :]
    for name in ("weight", "bias"):
        if getattr(module, name, None) is not None:
            coupling.set_parameter(f"{target}.{name}", normalized)
    coupling.attributes[target] = {"normalized_shape": normalized}
    return x


def _prelu(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    module, target = coupling.module_of(node), str(node.target)
    assert isinstance(module, nn.PReLU)
    if module.num_parameters > 1:
        if len(x) < 2:
            return coupling.unknown(node)
        coupling.set_parameter(f"{target}.weight", (x[1],))
        coupling.attributes[target] = {"num_parameters": x[1]}
    return x


def _unit_dim(group: int, per_unit: int = 1) -> Dim:
    return (Segment(group, per_unit),)


# The rank of an input without a batch.
_INSTANCE_NORMS: Any = {nn.InstanceNorm1d: 2, nn.InstanceNorm2d: 3, nn.InstanceNorm3d: 4}

LAYER_RULES: dict[Any, Rule] = {
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _convolution),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), _transposed_convolution),
    nn.Linear: _linear,
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, *_INSTANCE_NORMS), _batch_norm),
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
    nn.PReLU: _prelu,
}
