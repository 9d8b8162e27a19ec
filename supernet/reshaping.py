"""Views of a tensor whose channels may shrink: what becomes of each dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence

from supernet.channels import MAX_SEGMENTS, ChannelGroups, fixed
from supernet.space import Dim, Segment

__all__ = ["reshape"]

Dims = tuple[Dim, ...]


def reshape(
    groups: ChannelGroups, dims: Dims, shape: Sequence[int], *, varies: Sequence[bool], operation: str
) -> Dims | None:
    """Dimensions of a tensor of `dims` viewed in `shape`; None where they cannot be told.

    `varies` says of each of `shape` whether it follows the channels by itself (a -1, or a number computed
    from the tensor's sizes). Channels split into (a, b) with a constant are a pieces, which then must be
    alike (`operation` asks it); with b constant they are bundles of b.
    """
    result: list[Dim] = []
    sizes = [groups.size(groups.resolve(dim)) for dim in dims]
    for inner, outer in _chunks(sizes, shape):
        made = _chunk(
            groups,
            [dims[i] for i in inner],
            [shape[i] for i in outer],
            [varies[i] for i in outer],
            operation,
        )
        if made is None:
            return None
        result.extend(made)
    return tuple(result)


def _chunks(sizes: Sequence[int], shape: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The smallest runs of dimensions with the same product before and after."""
    chunks: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(sizes) or j < len(shape):
        inner = [i] if i < len(sizes) else []
        outer = [j] if j < len(shape) else []
        i, j = i + len(inner), j + len(outer)
        while (a := math.prod(sizes[k] for k in inner)) != (b := math.prod(shape[k] for k in outer)):
            if a < b:
                inner.append(i)
                i += 1
            else:
                outer.append(j)
                j += 1
        chunks.append((inner, outer))
    return chunks


def _chunk(
    groups: ChannelGroups, inner: list[Dim], outer: list[int], varies: list[bool], operation: str
) -> list[Dim] | None:
    inner = [groups.resolve(dim) for dim in inner]
    if not any(groups.is_free(dim) for dim in inner):
        return [fixed(n) for n in outer]
    merged = _merged(groups, inner)
    return None if merged is None else _divided(groups, merged, outer, varies, operation)


def _merged(groups: ChannelGroups, dims: list[Dim]) -> Dim | None:
    """One dimension of several; only one of them may hold channels that can shrink."""
    free = [i for i, dim in enumerate(dims) if groups.is_free(dim)]
    if len(free) != 1:
        return None
    before = math.prod(groups.size(dim) for dim in dims[: free[0]])
    behind = math.prod(groups.size(dim) for dim in dims[free[0] + 1 :])
    if before * len(dims[free[0]]) > MAX_SEGMENTS:
        return None
    return tuple(Segment(s.group, s.per_unit * behind) for s in dims[free[0]]) * before


def _divided(
    groups: ChannelGroups, dim: Dim, shape: list[int], varies: list[bool], operation: str
) -> list[Dim] | None:
    """A dimension viewed as several, the outermost first."""
    places = [i for i, n in enumerate(shape) if n > 1]
    if len(places) <= 1:
        return [dim if i in places[:1] else fixed(1) for i in range(len(shape))]
    first, last = places[0], places[-1]
    result = [fixed(1)] * len(shape)
    bundle = math.prod(shape) // shape[first]
    if not varies[last] and all(s.per_unit % shape[last] == 0 for s in dim) and len(places) == 2:
        # Bundles: each unit is a whole number of them.
        result[first] = tuple(Segment(s.group, s.per_unit // shape[last]) for s in dim)
        result[last] = fixed(shape[last])
        return result
    if varies[first]:
        return None
    pieces = groups.cut(dim, [bundle] * shape[first])
    if pieces is None:
        return None
    for piece in pieces[1:]:
        groups.unify(pieces[0], piece, operation)
    inner = _divided(groups, groups.resolve(pieces[0]), shape[first + 1 :], varies[first + 1 :], operation)
    if inner is None:
        return None
    return [*[fixed(1)] * first, fixed(shape[first]), *inner]
