"""Which channels must shrink together: a union-find over channel groups, with scales and cuts.

Two tensors' dimensions that meet in an addition have the same groups. A group's unit may stand for
several elements (a flattened map, a grouped convolution), so joining groups joins units of different
sizes; a split of a tensor cuts a group into parts that shrink on their own. `resolve` writes a dimension
in terms of what is left at the end of all that.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from supernet.space import Dim, Segment

__all__ = ["ChannelGroups", "fixed"]

# A dimension in more pieces than this is fixed: no hardware likes it, and no reader.
MAX_SEGMENTS = 128


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
    whole: str = ""  # the name of the group that this one was cut from
    parts: tuple[tuple[int | None, int], ...] = ()  # (group or None for fixed, units): what it was cut into


class ChannelGroups:
    """Groups by index. A root's unit is the smallest bundle of channels that can be removed."""

    def __init__(self) -> None:
        self._nodes: list[_Node] = []

    @property
    def n_groups(self) -> int:
        """Groups ever made, those that were joined or cut since included."""
        return len(self._nodes)

    def new(self, name: str, n_units: int, *, produced: bool = True) -> int:
        """A new group of `n_units` units; `produced` if a layer's weights make these channels."""
        index = len(self._nodes)
        producers = [name] if produced else []
        self._nodes.append(_Node(name, n_units, index, producers=producers, whole=name))
        return index

    def resolve(self, dim: Dim) -> Dim:
        """`dim` in terms of roots, neighbouring fixed segments joined."""
        result: list[Segment] = []
        for segment in itertools.chain.from_iterable(map(self._expand, dim)):
            if segment.group is None and result and result[-1].group is None:
                result[-1] = Segment(None, result[-1].per_unit + segment.per_unit)
            else:
                result.append(segment)
        return tuple(result)

    def size(self, dim: Dim) -> int:
        """Elements of `dim` in the pre-trained model."""
        return sum(s.per_unit * (1 if s.group is None else self._nodes[s.group].n_units) for s in dim)

    def is_free(self, dim: Dim) -> bool:
        """Whether any channel of `dim` may still be removed."""
        return any(s.group is not None and not self._nodes[s.group].reason for s in self.resolve(dim))

    def freeze(self, dims: Iterable[Dim], reason: str) -> None:
        """Fixes every group in `dims`; the first reason stays."""
        for dim in dims:
            for segment in self.resolve(dim):
                if segment.group is not None and not self._nodes[segment.group].reason:
                    self._nodes[segment.group].reason = reason

    def cut(self, dim: Dim, sizes: Sequence[int]) -> list[Dim] | None:
        """`dim` in consecutive pieces of so many elements each; None if that needs too many segments.

        A group is cut between two units into two that shrink on their own. A unit that a border runs
        through stays.
        """
        borders = set(itertools.accumulate(sizes))
        while True:
            dim = self.resolve(dim)
            if len(dim) > MAX_SEGMENTS:
                return None
            inside = next(self._crossed(dim, borders), None)
            if inside is None:
                break
            segment, offset = inside
            self._cut_group(segment, offset)
        pieces: list[Dim] = []
        rest = iter(dim)
        left: Segment | None = None
        for size in sizes:
            piece: list[Segment] = []
            missing = size
            while missing > 0:
                segment = left if left is not None else next(rest)
                left = None
                n = self.size((segment,))
                if n > missing:  # only a fixed segment can be longer
                    left = Segment(None, n - missing)
                    segment = Segment(None, missing)
                    n = missing
                piece.append(segment)
                missing -= n
            pieces.append(tuple(piece))
        return pieces

    def unify(self, left: Dim, right: Dim, operation: str) -> Dim:
        """Makes two dimensions of equal size one, as `operation` asks; what cannot be joined is fixed."""
        left, right = self.resolve(left), self.resolve(right)
        if left == right:
            return left
        pieces = self._aligned(left, right) if self.size(left) == self.size(right) else None
        if pieces is None:
            self.freeze((left, right), f"{operation} joins channels of different make-up")
            return self.resolve(left)
        for a, b in zip(*pieces, strict=True):
            (one,), (other,) = self.resolve(a), self.resolve(b)
            if one.group is None or other.group is None:
                self.freeze(((one,), (other,)), f"{operation} ties them to fixed channels")
            else:
                self._join(one, other, operation)
        return self.resolve(left)

    def _aligned(self, left: Dim, right: Dim) -> tuple[list[Dim], list[Dim]] | None:
        """Both dimensions cut until their segments have the same sizes; None if that needs too many."""
        while True:
            sizes = [[self.size((s,)) for s in self.resolve(dim)] for dim in (left, right)]
            borders = sorted({n for one in sizes for n in itertools.accumulate(one)})
            common = [b - a for a, b in itertools.pairwise([0, *borders])]
            first, second = self.cut(left, common), self.cut(right, common)
            if first is None or second is None:
                return None
            # The second cut may have cut groups of the first once more.
            first, second = [self.resolve(p) for p in first], [self.resolve(p) for p in second]
            if all(len(piece) == 1 for piece in (*first, *second)):
                return first, second

    def _crossed(self, dim: Dim, borders: set[int]) -> Iterator[tuple[Segment, int]]:
        """Segments of groups that a border runs through, with its distance from the segment's start."""
        start = 0
        for segment in dim:
            n = self.size((segment,))
            if segment.group is not None:
                for offset in range(1, n):
                    if start + offset in borders:
                        yield segment, offset
                        break
            start += n

    def _cut_group(self, segment: Segment, offset: int) -> None:
        assert segment.group is not None
        node = self._nodes[segment.group]
        before, within = divmod(offset, segment.per_unit)
        counts = [before, node.n_units - before - bool(within)]
        groups = [self._part(node, i, n) if n else None for i, n in enumerate(counts)]
        parts: list[tuple[int | None, int]] = [(g, n) for g, n in zip(groups, counts, strict=True) if n]
        if within:
            parts.insert(1 if before else 0, (None, 1))
        node.parts = tuple(parts)

    def _part(self, node: _Node, position: int, n_units: int) -> int:
        index = self.new(f"{node.name}[{position}]", n_units, produced=False)
        part = self._nodes[index]
        part.producers, part.reason, part.whole = node.producers, node.reason, node.whole
        return index

    def _expand(self, segment: Segment) -> Dim:
        if segment.group is None:
            return (segment,)
        node = self._nodes[segment.group]
        if node.parts:
            return tuple(
                s
                for group, n in node.parts
                for s in self._expand(Segment(group, segment.per_unit * (n if group is None else 1)))
            )
        if node.parent == segment.group:
            return (segment,)
        return self._expand(Segment(node.parent, segment.per_unit * node.units_per_parent))

    def _join(self, a: Segment, b: Segment, operation: str) -> None:
        assert a.group is not None
        assert b.group is not None
        if a.group == b.group:
            if a.per_unit != b.per_unit:  # a group that would be tied to a multiple of itself
                self.freeze(((a,), (b,)), f"{operation} ties them to a multiple of themselves")
            return
        nodes = self._nodes
        unit = math.lcm(a.per_unit, b.per_unit)
        n_elements = nodes[a.group].n_units * a.per_unit
        if n_elements % unit:
            self.freeze(((a,), (b,)), f"{operation} joins them in units that do not fit")
            return
        first, second = sorted((a.group, b.group))
        name = nodes[first].whole if nodes[first].whole == nodes[second].whole else nodes[first].name
        merged = self.new(name, n_elements // unit, produced=False)
        both = nodes[first].producers + nodes[second].producers
        nodes[merged].producers = list(dict.fromkeys(both))
        nodes[merged].reason = nodes[first].reason or nodes[second].reason
        nodes[merged].whole = nodes[first].whole
        for segment in (a, b):
            assert segment.group is not None
            nodes[segment.group].parent = merged
            nodes[segment.group].units_per_parent = unit // segment.per_unit

    def roots(self) -> list[int]:
        """The roots that stand for a layer's output channels, in the order of their first producer."""
        order: dict[int, int] = {}
        for index in range(len(self._nodes)):
            for segment in self._expand(Segment(index, 1)):
                if segment.group is not None and self._nodes[segment.group].producers:
                    order.setdefault(segment.group, index)
        return sorted(order, key=lambda root: order[root])

    def describe(self, root: int) -> tuple[str, int, str, list[str]]:
        """(name, units, reason if fixed, producing layers) of a root."""
        node = self._nodes[root]
        return node.name, node.n_units, node.reason, node.producers
