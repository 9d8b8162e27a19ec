"""Residual blocks: regions of the graph with one way in, one way out and an addition at the end."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch import fx, nn

from supernet.graph import TracedModel

__all__ = ["ResidualBlock", "find_blocks", "find_runs"]

_ADDITIONS = {operator.add, operator.iadd, torch.add, "add", "add_"}
_IDEMPOTENT = (nn.ReLU, nn.ReLU6)
_IDEMPOTENT_FUNCTIONS = {torch.relu, torch.nn.functional.relu, torch.nn.functional.relu6, "relu"}


@dataclass(frozen=True)
class ResidualBlock:
    """`nodes` compute `exit` from `entry`. An identity block may be dropped: `exit` becomes `entry`."""

    entry: str
    exit: str
    nodes: frozenset[str]
    is_identity: bool


def find_blocks(traced: TracedModel) -> list[ResidualBlock]:
    """Every residual block of the graph, in order.

    The entry of an addition is the immediate dominator of it; the block is what lies between, and the
    activation behind, if it is the addition's only reader. A block is an identity block if one operand
    of the addition is the entry itself, shapes agree and nothing inside is read outside.
    """
    graph = traced.module.graph
    nodes = list(graph.nodes)
    dominators = _immediate_dominators(nodes)
    blocks = []
    for node in nodes:
        operands = node.all_input_nodes
        if node.target not in _ADDITIONS or len(operands) != 2:
            continue
        entry = dominators.get(node)
        if entry is None:
            continue
        inside = _between(entry, node)
        if not inside or not any(n.op == "call_module" for n in inside):
            continue
        exit_node = _with_activation(traced, node, entry)
        members = inside | {node, exit_node}
        closed = all(user in members for n in members - {exit_node} for user in n.users)
        same_shape = traced.shapes[entry.name] == traced.shapes[exit_node.name]
        blocks.append(
            ResidualBlock(
                entry.name,
                exit_node.name,
                frozenset(n.name for n in members),
                is_identity=_reads(traced, operands, entry) and closed and same_shape,
            )
        )
    return blocks


def find_runs(blocks: list[ResidualBlock]) -> list[list[ResidualBlock]]:
    """Chains of identity blocks in which each one's exit is the next one's entry."""
    runs: list[list[ResidualBlock]] = []
    for block in blocks:
        holds_another = any(other.is_identity and other.nodes < block.nodes for other in blocks)
        if not block.is_identity or holds_another:
            continue
        for run in runs:
            if run[-1].exit == block.entry:
                run.append(block)
                break
        else:
            runs.append([block])
    return runs


def _reads(traced: TracedModel, operands: list[fx.Node], entry: fx.Node) -> bool:
    """Whether one of the operands is the entry itself, or only hands it on."""
    names = {operand.name for operand in operands}
    while handed := {traced.passed[name] for name in names if name in traced.passed} - names:
        names |= handed
    return entry.name in names


def _with_activation(traced: TracedModel, addition: fx.Node, entry: fx.Node) -> fx.Node:
    """The activation that alone reads the addition, where skipping it too changes nothing else.

    An idempotent activation may go with the block if the entry comes out of the same one; otherwise
    the block ends with the addition.
    """
    if len(addition.users) != 1:
        return addition
    (reader,) = addition.users
    kind = _activation(traced, reader)
    return reader if kind is not None and kind == _activation(traced, entry) else addition


def _activation(traced: TracedModel, node: fx.Node) -> str | None:
    """The name of the idempotent activation that ends at `node`, seen through max-pooling."""
    if node.op == "call_module":
        module = traced.module.get_submodule(str(node.target))
        if isinstance(module, (nn.MaxPool2d, nn.Identity, nn.Dropout)):
            return _activation(traced, node.all_input_nodes[0])
        return type(module).__name__.lower() if isinstance(module, _IDEMPOTENT) else None
    if node.target in _IDEMPOTENT_FUNCTIONS:
        return str(getattr(node.target, "__name__", node.target))
    return None


def _between(entry: fx.Node, last: fx.Node) -> set[fx.Node]:
    """Nodes on a path from `entry` to `last`, both left out; constants read on the way included."""
    found: set[fx.Node] = set()
    stack = [n for n in last.all_input_nodes if n is not entry]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack.extend(n for n in node.all_input_nodes if n is not entry)
    return found


def _immediate_dominators(nodes: list[fx.Node]) -> dict[fx.Node, fx.Node]:
    """Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm" (2001), for a graph in order."""
    order = {node: i for i, node in enumerate(nodes)}
    dominators: dict[fx.Node, fx.Node] = {}
    constants: set[fx.Node] = set()  # parameters, and what is made of them alone
    for node in nodes:
        sources = [n for n in node.all_input_nodes if n not in constants]
        if not sources:
            if node.op != "placeholder":
                constants.add(node)
            continue
        common: fx.Node | None = sources[0]
        for source in sources[1:]:
            common = _common(dominators, order, common, source)
        if common is not None:
            dominators[node] = common
    return dominators


def _common(
    dominators: dict[fx.Node, fx.Node], order: dict[fx.Node, int], a: fx.Node | None, b: fx.Node | None
) -> fx.Node | None:
    while a is not b:
        if a is None or b is None:
            return None
        if order[a] > order[b]:
            a = dominators.get(a)
        else:
            b = dominators.get(b)
    return a
