"""Which channels must shrink together: a union-find over channel groups, with scales.

Two tensors' dimensions that meet in an addition have the same groups. A group's unit may stand for
several elements (a flattened map, a grouped convolution), so joining groups joins units of different
sizes; `find` resolves a group to its root and how many of the root's units one of its units is worth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from supernet.space import Dim, Segment

__all__ = ["ChannelGroups", "fixed"]


def fixed(n: int) -> Dim:
    """A dimension of `n` elements that never changes."""
    return (Segment(None, n),)


@dataclass
class _Node:
    name: str
    n_units: int
    parent: int
    units_per_parent: int = 1  # how many of this group's units are one of the parent's
    reason: str = ""
    producers: list[str] = field(default_factory=list)


class ChannelGroups:
    """Groups by index. A root's unit is the smallest bundle of channels that can be removed."""

    def __init__(self) -> None:
        self._nodes: list[_Node] = []

    def new(self, name: str, n_units: int, *, produced: bool = True) -> int:
        """A new group of `n_units` units; `produced` if a layer's weights make these channels."""
        index = len(self._nodes)
        producers = [name] if produced else []
        self._nodes.append(_Node(name, n_units, index, producers=producers))
        return index

    def find(self, group: int) -> tuple[int, int]:
        """(root, k): one unit of the root is `k` units of `group`."""
        scale = 1
        while self._nodes[group].parent != group:
            scale *= self._nodes[group].units_per_parent
            group = self._nodes[group].parent
        return group, scale

    def resolve(self, dim: Dim) -> Dim:
        """`dim` in terms of roots, neighbouring fixed segments joined."""
        result: list[Segment] = []
        for segment in dim:
            if segment.group is None:
                if result and result[-1].group is None:
                    result[-1] = Segment(None, result[-1].per_unit + segment.per_unit)
                else:
                    result.append(segment)
            else:
                root, scale = self.find(segment.group)
                result.append(Segment(root, segment.per_unit * scale))
        return tuple(result)

    def size(self, dim: Dim) -> int:
        """Elements of `dim` in the pre-trained model."""
        return sum(s.per_unit * (1 if s.group is None else self._nodes[s.group].n_units) for s in dim)

    def freeze(self, dims: Iterable[Dim], reason: str) -> None:
        """Fixes every group in `dims`; the first reason stays."""
        for dim in dims:
            for segment in self.resolve(dim):
                if segment.group is not None and not self._nodes[segment.group].reason:
                    self._nodes[segment.group].reason = reason

    def unify(self, left: Dim, right: Dim, reason: str) -> Dim:
        """Makes two dimensions of equal size one; what cannot be joined is fixed with `reason`."""
        left, right = self.resolve(left), self.resolve(right)
        if left == right:
            return left
        sizes = [[self.size((s,)) for s in dim] for dim in (left, right)]
        if sizes[0] != sizes[1]:
            self.freeze((left, right), reason)
            return left
        for a, b in zip(left, right, strict=True):
            if a.group is None or b.group is None:
                self.freeze(((a,), (b,)), reason)
            else:
                self._join(a, b, reason)
        return self.resolve(left)

    def _join(self, a: Segment, b: Segment, reason: str) -> None:
        assert a.group is not None
        assert b.group is not None
        (root_a, _), (root_b, _) = self.find(a.group), self.find(b.group)
        if root_a == root_b:
            if a.per_unit != b.per_unit:  # a group that would be tied to a multiple of itself
                self.freeze(((a,), (b,)), reason)
            return
        nodes = self._nodes
        unit = math.lcm(a.per_unit, b.per_unit)
        n_elements = nodes[root_a].n_units * a.per_unit
        if n_elements % unit:
            self.freeze(((a,), (b,)), reason)
            return
        first, second = sorted((root_a, root_b))
        merged = self.new(nodes[first].name, n_elements // unit, produced=False)
        nodes[merged].producers = nodes[first].producers + nodes[second].producers
        nodes[merged].reason = nodes[first].reason or nodes[second].reason
        for root, segment in ((root_a, a), (root_b, b)):
            nodes[root].parent = merged
            nodes[root].units_per_parent = unit // segment.per_unit

    def roots(self) -> list[int]:
        """The roots that stand for a layer's output channels, in the order of their first producer."""
        order = {}
        for root in {self.find(i)[0] for i in range(len(self._nodes))}:
            if self._nodes[root].producers:
                order[root] = min(i for i in range(len(self._nodes)) if self.find(i)[0] == root)
        return sorted(order, key=lambda root: order[root])

    def describe(self, root: int) -> tuple[str, int, str, list[str]]:
        """(name, units, reason if fixed, producing layers) of a root."""
        node = self._nodes[root]
        return node.name, node.n_units, node.reason, node.producers
