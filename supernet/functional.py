"""Layers that a model calls as functions, `F.conv2d(x, self.weight)`, become the modules that they are.

Subclasses of torch's layers do so (padding as TensorFlow's, a normalisation with its activation), and such
code traced in evaluation mode would normalise with running statistics even in training, and never drop out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

__all__ = ["as_modules"]

_Made = tuple[type[nn.Module], dict[str, Any]] | None


@dataclass(frozen=True)
class _Function:
    """A functional layer: its parameters' places by the module's name for them, `key` the one that it cannot
    be without, and what makes the module of the values of its arguments, if there is one."""

    arguments: tuple[str, ...]
    tensors: dict[str, str]
    key: str
    make: Callable[[dict[str, Any]], _Made]


def as_modules(traced: fx.GraphModule, shapes: dict[str, Any]) -> bool:
    """Replaces calls of functional layers whose weights are parameters by calls of modules with these
    parameters, at the place of the module that owned them where they are all it has. Nodes keep their names;
    `shapes` are their outputs'. Whether there were any."""
    for node in traced.graph.nodes:
        if node.op == "call_function" and node.target in _FUNCTIONS:
            _fold_weight(traced, node)
    calls: dict[str, list[fx.Node]] = {}
    for node in traced.graph.nodes:
        if node.op == "call_function" and node.target in _FUNCTIONS:
            key = _bound(node).get(_FUNCTIONS[node.target].key)
            if isinstance(key, fx.Node) and key.op == "get_attr" and not _is_of_a_call(traced, key):
                calls.setdefault(str(key.target), []).append(node)
    replaced = [_replace(traced, key, nodes, shapes) for key, nodes in calls.items()]
    replaced += [_replace_dropout(traced, node) for node in traced.graph.nodes if node.target in _DROPOUTS]
    if any(replaced):
        traced.graph.lint()
        traced.recompile()
    return any(replaced)


def _fold_weight(traced: fx.GraphModule, node: fx.Node) -> None:
    """A weight that is computed of parameters alone (weight standardisation) becomes a parameter, in place of
    the one that has its shape, with the value that it has."""
    weight = _bound(node).get(_FUNCTIONS[node.target].key)
    if not isinstance(weight, fx.Node) or weight.op == "get_attr":
        return
    made = _constant_nodes(weight)
    sources = [one for one in sorted(made or ()) if one.op == "get_attr"]
    tensors = {one: _attribute(traced, str(one.target)) for one in sources}
    if made is None or not all(isinstance(tensor, nn.Parameter) for tensor in tensors.values()):
        return  # a mask, say, must hold in training too
    value = _value(traced, weight)
    source = next((one for one in sources if tensors[one].shape == value.shape), None)
    if source is None or not set(source.users) <= made or _is_of_a_call(traced, source):
        return
    path, _, name = str(source.target).rpartition(".")
    traced.get_submodule(path).register_parameter(name, nn.Parameter(value.detach().clone()))
    node.replace_input_with(weight, source)
    for one in sorted(made, reverse=True):
        if one is source or one.users:
            continue
        traced.graph.erase_node(one)
        if one.op == "get_attr" and not any(n.target == one.target for n in traced.graph.nodes):
            path, _, name = str(one.target).rpartition(".")
            delattr(traced.get_submodule(path), name)


def _constant_nodes(node: fx.Node) -> set[fx.Node] | None:
    """A node and all that it is made of, if those are parameters; else None."""
    found, stack = set(), [node]
    while stack:
        one = stack.pop()
        if one in found:
            continue
        if one.op != "get_attr" and not one.all_input_nodes:
            return None
        found.add(one)
        stack += one.all_input_nodes
    return found


def _value(traced: fx.GraphModule, node: fx.Node) -> Tensor:
    """What a node of parameters alone gives."""
    if node.op == "get_attr":
        return _attribute(traced, str(node.target))
    arguments, options = fx.map_arg((node.args, node.kwargs), lambda n: _value(traced, n))
    if node.op == "call_method":
        return getattr(arguments[0], str(node.target))(*arguments[1:], **options)  # type: ignore[no-any-return]
    target = traced.get_submodule(str(node.target)) if node.op == "call_module" else node.target
    return target(*arguments, **options)  # type: ignore[no-any-return,operator]


def _replace(traced: fx.GraphModule, key: str, nodes: list[fx.Node], shapes: dict[str, Any]) -> bool:
    first = nodes[0]
    function = _FUNCTIONS[first.target]
    bound = [_bound(node) for node in nodes]
    settings = [{name: value for name, value in one.items() if name != "input"} for one in bound]
    if any(node.target is not first.target for node in nodes) or any(one != settings[0] for one in settings):
        return False
    own: dict[str, fx.Node] = {}
    for name, argument in function.tensors.items():
        value = bound[0].get(argument)
        if isinstance(value, fx.Node) and value.op == "get_attr" and set(value.users) <= set(nodes):
            own[name] = value
        elif value is not None:
            return False
    values = {
        name: _attribute(traced, str(value.target)) if isinstance(value, fx.Node) and value in own.values()
        else value
        for name, value in settings[0].items()
    }  # fmt: skip
    values["rank"] = len(shapes[first.name])
    if any(isinstance(value, fx.Node) for value in values.values()):
        return False
    made = function.make(values)
    if made is None:
        return False
    kind, options = made
    module = kind(**options, device="meta").train(traced.training)
    for name, node in own.items():
        _set(module, name, _attribute(traced, str(node.target)))
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        module.num_batches_tracked = torch.tensor(0)
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        return False  # a scale without a shift, say, which no module of torch's has
    path = _put(traced, module, {name: str(node.target) for name, node in own.items()}, key)
    for node, one in zip(nodes, bound, strict=True):
        node.op, node.target, node.args, node.kwargs = "call_module", path, (one["input"],), {}
    for node in own.values():
        traced.graph.erase_node(node)
    return True


def _replace_dropout(traced: fx.GraphModule, node: fx.Node) -> bool:
    """`F.dropout(x, p, self.training)`: it drops in training, where the module does."""
    bound = {**dict(zip(("input", "p", "training"), node.args, strict=False)), **node.kwargs}
    path = f"{node.name}_module"
    if bound.get("training") is not False or isinstance(bound.get("p"), fx.Node) or hasattr(traced, path):
        return False  # with True it drops always
    kind = _DROPOUTS[node.target]
    traced.add_module(path, kind(bound.get("p", 0.5)).train(traced.training))
    node.op, node.target, node.args, node.kwargs = "call_module", path, (bound["input"],), {}
    return True


def _put(traced: fx.GraphModule, module: nn.Module, names: dict[str, str], key: str) -> str:
    """Where the module is now: in its owner's place if it is all that the owner has under the same names,
    else in that of the parameter `key`."""
    owner_path, _, name = key.rpartition(".")
    owner = traced.get_submodule(owner_path)
    tensors = {*dict(owner.named_parameters(recurse=False)), *dict(owner.named_buffers(recurse=False))}
    prefix = f"{owner_path}." if owner_path else ""
    same = all(target == prefix + own for own, target in names.items())
    if owner_path and same and tensors - {"num_batches_tracked"} == set(names):
        for child_name, child in owner.named_children():
            module.add_module(child_name, child)
        traced.set_submodule(owner_path, module)
        return owner_path
    for target in names.values():
        path, _, leaf = target.rpartition(".")
        delattr(traced.get_submodule(path), leaf)
    owner.add_module(name, module)
    return key


def _set(module: nn.Module, name: str, value: Tensor) -> None:
    """In place of the module's own, be it a parameter or a buffer."""
    delattr(module, name)
    if isinstance(value, nn.Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


def _is_of_a_call(traced: fx.GraphModule, parameter: fx.Node) -> bool:
    """Whether a module that is called as such has this parameter: it is tied."""
    called = (str(node.target) for node in traced.graph.nodes if node.op == "call_module")
    return any(str(parameter.target).startswith(f"{path}.") for path in called)


def _attribute(traced: fx.GraphModule, target: str) -> Tensor:
    path, _, name = target.rpartition(".")
    return getattr(traced.get_submodule(path), name)  # type: ignore[no-any-return]


def _bound(node: fx.Node) -> dict[str, Any]:
    """A node's arguments by name."""
    return {**dict(zip(_FUNCTIONS[node.target].arguments, node.args, strict=False)), **node.kwargs}


def _convolution(kind: type[nn.Module]) -> Callable[[dict[str, Any]], _Made]:
    def make(values: dict[str, Any]) -> _Made:
        weight, groups = values["weight"], values.get("groups", 1)
        options: dict[str, Any] = {
            name: values[name] for name in ("stride", "padding", "dilation") if name in values
        }
        return kind, {
            "in_channels": weight.shape[1] * groups,
            "out_channels": weight.shape[0],
            "kernel_size": tuple(weight.shape[2:]),
            "groups": groups,
            "bias": values.get("bias") is not None,
            **options,
        }

    return make


def _linear(values: dict[str, Any]) -> _Made:
    outputs, inputs = values["weight"].shape
    return nn.Linear, {
        "in_features": inputs,
        "out_features": outputs,
        "bias": values.get("bias") is not None,
    }


def _batch_norm(values: dict[str, Any]) -> _Made:
    kinds = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    if values.get("training") or values["rank"] not in kinds:  # by the batch's statistics, always
        return None
    return kinds[values["rank"]], {
        "num_features": len(values["running_mean"]),
        "eps": values.get("eps", 1e-5),
        "momentum": values.get("momentum", 0.1),
        "affine": values.get("weight") is not None,
    }


def _group_norm(values: dict[str, Any]) -> _Made:
    return nn.GroupNorm, {
        "num_groups": values["num_groups"],
        "num_channels": len(values["weight"]),
        "eps": values.get("eps", 1e-5),
    }


_WEIGHTS = {"weight": "weight", "bias": "bias"}
_OF_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_FUNCTIONS: dict[Any, _Function] = {
    F.conv1d: _Function(_OF_CONVOLUTION, _WEIGHTS, "weight", _convolution(nn.Conv1d)),
    F.conv2d: _Function(_OF_CONVOLUTION, _WEIGHTS, "weight", _convolution(nn.Conv2d)),
    F.conv3d: _Function(_OF_CONVOLUTION, _WEIGHTS, "weight", _convolution(nn.Conv3d)),
    F.linear: _Function(("input", "weight", "bias"), _WEIGHTS, "weight", _linear),
    F.batch_norm: _Function(
        ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
        {"running_mean": "running_mean", "running_var": "running_var", **_WEIGHTS},
        "running_mean",
        _batch_norm,
    ),
    F.group_norm: _Function(
        ("input", "num_groups", "weight", "bias", "eps"), _WEIGHTS, "weight", _group_norm
    ),
}
_DROPOUTS: dict[Any, type[nn.Module]] = {
    F.dropout: nn.Dropout,
    F.dropout1d: nn.Dropout1d,
    F.dropout2d: nn.Dropout2d,
    F.dropout3d: nn.Dropout3d,
}
