"""Follows channels through a traced graph, one node after the other.

An operation without a rule fixes the channels that reach it, with its name as the reason; it never slices
wrongly.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from supernet.channels import fixed
from supernet.coupling import Coupling, Dims
from supernet.graph import TracedModel
from supernet.rules import RULES
from supernet.space import Segment
from supernet.tracer import OF_SHAPES

__all__ = ["follow_channels"]


def follow_channels(traced: TracedModel) -> Coupling:
    """Walks the graph once, in order."""
    coupling = Coupling(traced)
    for node in list(traced.module.graph.nodes):
        coupling.dims[node.name] = _visit(coupling, node)
    return coupling


def _visit(coupling: Coupling, node: fx.Node) -> Any:
    shape = coupling.traced.shapes.get(node.name)
    if node.op == "output":
        coupling.freeze_inputs(node, "its channels are the network's output")
        return None
    if shape is None:
        if coupling.inputs_of(node) and not _is_size_query(node):
            coupling.freeze_inputs(node, f"{coupling.operation(node)} is not understood")
        return None
    if node.op == "placeholder":
        return tuple(fixed(n) for n in shape)
    if node.op == "get_attr":
        return _attribute(coupling, node, shape)
    rule = RULES.get(_key(coupling, node))
    if rule is None and node.name in coupling.traced.passed:
        return coupling.dims[coupling.traced.passed[node.name]]
    inputs = coupling.inputs_of(node)
    if rule is None or not inputs:
        return coupling.unknown(node)
    found = rule(coupling, node, coupling.resolve(inputs[0]))
    is_right = found is not None and _sizes(coupling, found) == _as_lists(shape)
    return found if is_right else coupling.unknown(node)


def _sizes(coupling: Coupling, dims: Any) -> list[Any]:
    """How large a rule says that a node's result is, in the largest network."""
    if isinstance(dims, list):
        return [_sizes(coupling, one) for one in dims]
    return [coupling.groups.size(dim) for dim in coupling.resolve(dims)]


def _as_lists(shape: Any) -> list[Any]:
    return [_as_lists(one) for one in shape] if isinstance(shape, list) else list(shape)


def _attribute(coupling: Coupling, node: fx.Node, shape: tuple[int, ...]) -> Dims:
    name = str(node.target)
    if name not in coupling.parameters:
        groups = coupling.groups
        coupling.parameters[name] = tuple(
            (Segment(groups.new(name, n, produced=False), 1),) if n > 1 else fixed(1) for n in shape
        )
    return coupling.parameters[name]


def _key(coupling: Coupling, node: fx.Node) -> Any:
    return type(coupling.module_of(node)) if node.op == "call_module" else node.target


def _is_size_query(node: fx.Node) -> bool:
    asked = node.args[1] if node.target is getattr else node.target
    return asked is torch._assert or asked in OF_SHAPES
