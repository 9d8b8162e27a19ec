"""Follows the space's channels through a quantised OpenVINO graph, one node after the other.

It starts at the layers, which keep their names. Channels that can be chosen and reach an operation without
a rule are an error: such a graph cannot be sliced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supernet.channels import fixed
from supernet.errors import OvnasError
from supernet.int8_coupling import Int8Coupling
from supernet.int8_rules import INT8_RULES, SPLITS
from supernet.space import Space

if TYPE_CHECKING:
    import openvino as ov

__all__ = ["follow_quantised"]


def follow_quantised(model: ov.Model, space: Space) -> Int8Coupling:
    """Walks the graph once, in order. Raises OvnasError where it is not the space's maximal network."""
    coupling = Int8Coupling(space)
    dynamic: set[str] = set()
    names: set[str] = set()
    for node in model.get_ordered_ops():
        name = node.get_friendly_name()
        if name in names:
            raise OvnasError(f"the quantised graph has two nodes named {name!r}")
        names.add(name)
        sources = [value.get_node().get_friendly_name() for value in node.input_values()]
        if node.get_type_name() == "Parameter" or dynamic & set(sources):
            dynamic.add(name)
            if node.get_type_name() != "Result":
                _visit(coupling, node, [source in dynamic for source in sources])
    coupling.require_layers()
    return coupling


def _visit(coupling: Int8Coupling, node: Any, is_dynamic: list[bool]) -> None:
    name, kind = node.get_friendly_name(), node.get_type_name()
    sources = [
        coupling.dims_of(value) if live else None
        for value, live in zip(node.input_values(), is_dynamic, strict=True)
    ]
    shape = tuple(node.output(0).shape)
    rule = INT8_RULES.get(kind)
    n_read = sum(bool(output.get_target_inputs()) for output in node.outputs()[1:])
    if rule is None or (n_read and kind not in SPLITS):
        coupling.require_fixed(node, [dims for dims in sources if dims is not None])
        coupling.outputs[name] = tuple(fixed(n) for n in shape)
    else:
        coupling.outputs[name] = rule(coupling, node, sources, shape)
