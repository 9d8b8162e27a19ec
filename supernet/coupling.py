"""What is known of a traced graph's channels: which dimension of which parameter belongs to which group.

`following.follow_channels` fills it in, with one rule an operation (`rules.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from supernet.channels import ChannelGroups, fixed
from supernet.graph import TracedModel
from supernet.space import Dim

__all__ = ["Coupling", "Dims", "LayerCall", "Number", "Rule"]

Dims = tuple[Dim, ...]
Rule = Callable[["Coupling", fx.Node, Dims], Any]
"""From a node and its first tensor input's dimensions to the output's (a list of them for several)."""


@dataclass(frozen=True)
class LayerCall:
    """One call of a convolution or linear layer."""

    node: str
    module: str
    inputs: Dim
    outputs: Dim


@dataclass(frozen=True)
class Number:
    """A constant argument of a node that repeats the size of `dim`.

    `path` leads to it in the pair (arguments, keyword arguments): (0, 1) is the second argument.
    """

    path: tuple[int | str, ...]
    dim: Dim


@dataclass
class Coupling:
    """The result: groups, each parameter's dimensions, the layers in order, each node's dimensions.

    `attributes` are numbers that a module keeps beside its parameters, by module and name; `numbers`
    the constant arguments of nodes.
    """

    traced: TracedModel
    groups: ChannelGroups = field(default_factory=ChannelGroups)
    parameters: dict[str, Dims] = field(default_factory=dict)
    attributes: dict[str, dict[str, Dim | Dims]] = field(default_factory=dict)
    numbers: dict[str, tuple[Number, ...]] = field(default_factory=dict)
    layers: list[LayerCall] = field(default_factory=list)
    dims: dict[str, Any] = field(default_factory=dict)

    def module_of(self, node: fx.Node) -> nn.Module:
        """The module that a call_module node calls."""
        return self.traced.module.get_submodule(str(node.target))

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """The node's output shape in the example run."""
        return tuple(self.traced.shapes[node.name])

    def resolve(self, dims: Dims) -> Dims:
        """Every dimension in terms of what groups are now."""
        return tuple(self.groups.resolve(dim) for dim in dims)

    def dims_of(self, node: fx.Node) -> Dims:
        """A tensor node's dimensions, resolved."""
        return self.resolve(self.dims[node.name])

    def set_parameter(self, name: str, dims: Dims) -> None:
        """Records a parameter's dimensions; a shared module's calls must agree."""
        if name in self.parameters:
            pairs = zip(self.parameters[name], dims, strict=True)
            dims = tuple(self.groups.unify(a, b, f"sharing {name}") for a, b in pairs)
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

    def measured_by(self, node: fx.Node) -> list[Dims]:
        """Dimensions of every tensor whose sizes are among the node's arguments."""
        found: list[Dims] = []
        numbers = [source for source in node.all_input_nodes if self.dims.get(source.name) is None]
        while numbers:
            number = numbers.pop()
            found += self.inputs_of(number)
            numbers += [source for source in number.all_input_nodes if self.dims.get(source.name) is None]
        return found

    def operation(self, node: fx.Node) -> str:
        """What a node does, and where, for a reader."""
        if node.op == "call_module":
            return f"{type(self.module_of(node)).__name__} ({node.target})"
        name = getattr(node.target, "__name__", str(node.target))
        place = list(node.meta.get("nn_module_stack", {}))
        return f"{name} ({place[-1]})" if place and place[-1] else name

    def freeze_inputs(self, node: fx.Node, reason: str) -> None:
        """Fixes every channel that the node reads."""
        for dims in self.inputs_of(node):
            self.groups.freeze(dims, reason)

    def unknown(self, node: fx.Node) -> Any:
        """Fixes what reaches a node that has no rule, or whose rule does not fit; the output's dimensions."""
        why = self.traced.opaque.get(str(node.target), "is not understood")
        self.freeze_inputs(node, f"{self.operation(node)} {why}")
        shape = self.traced.shapes[node.name]
        if isinstance(shape, list):
            return [tuple(fixed(n) for n in one) for one in shape]
        return tuple(fixed(n) for n in shape)
