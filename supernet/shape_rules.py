"""Channels through operations that move values about: views, permutations, joins, splits, reductions."""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from supernet.channels import fixed
from supernet.coupling import Coupling, Dims, Number, Rule
from supernet.reshaping import reshape
from supernet.space import Dim

__all__ = ["SHAPE_RULES"]

Path = tuple[int | str, ...]


def _argument(node: fx.Node, position: int, name: str, default: Any = None) -> Any:
    """An argument by its place after the tensor or by its name."""
    if len(node.args) > position:
        return node.args[position]
    return node.kwargs.get(name, default)


def _axis(node: fx.Node, position: int, rank: int, default: Any = None) -> int | None:
    value = _argument(node, position, "dim", node.kwargs.get("axis", default))
    return value % rank if isinstance(value, int) and not isinstance(value, bool) else None


def _listed(node: fx.Node, names: tuple[str, ...]) -> list[tuple[Path, Any]]:
    """The numbers of a size given as one list or as several arguments, each with its path."""
    for name in names:
        if name in node.kwargs:
            value = node.kwargs[name]
            if isinstance(value, (tuple, list)):
                return [((1, name, i), v) for i, v in enumerate(value)]
            return [((1, name), value)]
    if len(node.args) == 2 and isinstance(node.args[1], (tuple, list)):
        return [((0, 1, i), v) for i, v in enumerate(node.args[1])]
    return [((0, i), v) for i, v in enumerate(node.args) if i > 0]


def _record(coupling: Coupling, node: fx.Node, listed: list[tuple[Path, Any]], dims: Dims) -> None:
    """Constants among a size that must follow the channels."""
    numbers = [
        Number(path, dim)
        for (path, value), dim in zip(listed, dims, strict=True)
        if isinstance(value, int) and value != -1 and coupling.groups.is_free(dim)
    ]
    coupling.numbers[node.name] = (*coupling.numbers.get(node.name, ()), *numbers)


def _reshape(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    shape = coupling.shape(node)
    listed = _listed(node, ("shape", "size", "sizes"))
    if len(listed) != len(shape) or not all(isinstance(v, (int, fx.Node)) for _, v in listed):
        return coupling.unknown(node)
    varies = [not isinstance(v, int) or v == -1 for _, v in listed]
    result = reshape(coupling.groups, x, shape, varies=varies, operation=coupling.operation(node))
    if result is None:
        return coupling.unknown(node)
    _record(coupling, node, listed, result)
    return result


def _flatten(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    shape = coupling.shape(node)
    varies = [True] * len(shape)
    result = reshape(coupling.groups, x, shape, varies=varies, operation=coupling.operation(node))
    return coupling.unknown(node) if result is None else result


def _unflatten(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    """One of the sizes may be -1, and follows the channels; the others are constants."""
    shape = coupling.shape(node)
    axis, sizes = _argument(node, 1, "dim"), _argument(node, 2, "sizes")
    if node.op == "call_module":
        module = coupling.module_of(node)
        axis, sizes = module.dim, module.unflattened_size
    is_listed = isinstance(sizes, (tuple, list)) and all(isinstance(n, int) for n in sizes)
    if not (isinstance(axis, int) and is_listed):
        return coupling.unknown(node)
    made = range(axis % len(x), axis % len(x) + len(sizes))
    varies = [i in made and sizes[i - made.start] == -1 for i in range(len(shape))]
    result = reshape(coupling.groups, x, shape, varies=varies, operation=coupling.operation(node))
    if result is None or any(coupling.groups.is_free(result[i]) and not varies[i] for i in made):
        return coupling.unknown(node)
    return result


def _permute(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    order = [v for _, v in _listed(node, ("dims",))]
    if len(order) != len(x) or not all(isinstance(v, int) for v in order):
        return coupling.unknown(node)
    return tuple(x[v] for v in order)


def _transpose(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    first, second = (_argument(node, 1, "dim0"), _argument(node, 2, "dim1"))
    if not (isinstance(first, int) and isinstance(second, int)):
        return coupling.unknown(node)
    order = list(range(len(x)))
    order[first], order[second] = order[second], order[first]
    return tuple(x[i] for i in order)


def _matrix_transpose(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    return x[::-1]


def _unsqueeze(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    axis = _axis(node, 1, len(x) + 1)
    return coupling.unknown(node) if axis is None else (*x[:axis], fixed(1), *x[axis:])


def _squeeze(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    """What has length 1 in the pre-trained model must have it in all."""
    shape = coupling.shape(node)
    sizes = [coupling.groups.size(dim) for dim in x]
    value = _argument(node, 1, "dim")
    axes = range(len(x)) if value is None else (value,) if isinstance(value, int) else tuple(value)
    dropped = {a % len(x) for a in axes if sizes[a] == 1}
    lonely = {a % len(x) for a in axes if sizes[a] > 1}
    coupling.groups.freeze((x[a] for a in lonely), f"{coupling.operation(node)} may drop them")
    kept = tuple(dim for i, dim in enumerate(x) if i not in dropped)
    return kept if len(kept) == len(shape) else coupling.unknown(node)


def _expand(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    shape = coupling.shape(node)
    listed = _listed(node, ("size", "sizes"))
    if len(listed) != len(shape):
        return coupling.unknown(node)
    padded = (*[fixed(1)] * (len(shape) - len(x)), *x)
    result = tuple(
        fixed(n) if coupling.groups.size(dim) != n else dim for dim, n in zip(padded, shape, strict=True)
    )
    _record(coupling, node, listed, result)
    return result


def _concatenation(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    listed = node.args[0] if node.args else node.kwargs.get("tensors")
    if isinstance(listed, fx.Node):  # the pieces of a split
        operands = coupling.dims.get(listed.name)
    elif isinstance(listed, (list, tuple)) and all(isinstance(n, fx.Node) for n in listed):
        operands = [coupling.dims.get(n.name) for n in listed]
    else:
        operands = None
    if not isinstance(operands, list):
        return coupling.unknown(node)
    axis = _axis(node, 1, len(x), default=0)
    if axis is None or not all(isinstance(dims, tuple) for dims in operands):
        return coupling.unknown(node)
    result = list(operands[0] or ())
    for dims in operands[1:]:
        for i, dim in enumerate(dims or ()):
            if i == axis:
                result[i] = result[i] + dim
            else:
                result[i] = coupling.groups.unify(result[i], dim, coupling.operation(node))
    return tuple(result)


def _stack(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    listed = node.args[0] if node.args else node.kwargs.get("tensors")
    axis = _axis(node, 1, len(x) + 1, default=0)
    if axis is None or not isinstance(listed, (list, tuple)):
        return coupling.unknown(node)
    result = x
    for dims in coupling.inputs_of(node)[1:]:
        pairs = zip(result, dims, strict=True)
        result = tuple(coupling.groups.unify(a, b, coupling.operation(node)) for a, b in pairs)
    return (*result[:axis], fixed(len(listed)), *result[axis:])


def _chunk(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    """Becomes a split into sizes, so that each part may shrink on its own."""
    axis = _axis(node, 2, len(x), default=0)
    shapes = coupling.traced.shapes[node.name]
    if axis is None or not isinstance(shapes, list):
        return coupling.unknown(node)
    if not coupling.groups.is_free(x[axis]):
        return [tuple(fixed(s[i]) if i == axis else dim for i, dim in enumerate(x)) for s in shapes]
    sizes = [shape[axis] for shape in shapes]
    node.op, node.target = "call_function", torch.split
    node.args, node.kwargs = (node.all_input_nodes[0], sizes), {"dim": axis}
    return _pieces(coupling, node, x, axis, sizes)


def _split(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    axis = _axis(node, 2, len(x), default=0)
    shapes = coupling.traced.shapes[node.name]
    if axis is None or not isinstance(shapes, list):
        return coupling.unknown(node)
    sizes = [shape[axis] for shape in shapes]
    if not coupling.groups.is_free(x[axis]):
        return [tuple(fixed(n) if i == axis else dim for i, dim in enumerate(x)) for n in sizes]
    wanted = _argument(node, 1, "split_size_or_sections", _argument(node, 1, "split_size"))
    if any(isinstance(v, fx.Node) for v in (wanted if isinstance(wanted, (list, tuple)) else [wanted])):
        return coupling.unknown(node)
    node.op, node.target = "call_function", torch.split
    node.args, node.kwargs = (node.all_input_nodes[0], sizes), {"dim": axis}
    return _pieces(coupling, node, x, axis, sizes)


def _pieces(coupling: Coupling, node: fx.Node, x: Dims, axis: int, sizes: list[int]) -> Any:
    pieces = coupling.groups.cut(x[axis], sizes)
    if pieces is None:
        return coupling.unknown(node)
    coupling.numbers[node.name] = tuple(Number((0, 1, i), piece) for i, piece in enumerate(pieces))
    return [(*x[:axis], piece, *x[axis + 1 :]) for piece in pieces]


def _unbind(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    axis = _axis(node, 1, len(x), default=0)
    shapes = coupling.traced.shapes[node.name]
    if axis is None or not isinstance(shapes, list):
        return coupling.unknown(node)
    coupling.groups.freeze((x[axis],), f"{coupling.operation(node)} takes them apart")
    return [(*x[:axis], *x[axis + 1 :]) for _ in shapes]


def _getitem(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    source, index = node.args
    assert isinstance(source, fx.Node)
    made = coupling.dims.get(source.name)
    if isinstance(made, list):
        return made[index] if isinstance(index, (int, slice)) else coupling.unknown(node)
    parts = list(index) if isinstance(index, tuple) else [index]
    if not all(p is None or p is Ellipsis or isinstance(p, (int, slice)) for p in parts):
        return coupling.unknown(node)
    n_taken = sum(isinstance(p, (int, slice)) for p in parts)
    if Ellipsis in parts:
        place = parts.index(Ellipsis)
        parts[place : place + 1] = [slice(None)] * (len(x) - n_taken)
    else:
        parts += [slice(None)] * (len(x) - n_taken)
    if None not in parts:
        sizes = [coupling.groups.size(dim) for dim in x]
        partial = [i for i, part in enumerate(parts) if not _takes_all(part, sizes[i])]
        if len(partial) == 1 and coupling.groups.is_free(x[partial[0]]):
            cropped = _crop(coupling, node, x, partial[0], parts[partial[0]])
            if cropped is not None:
                return cropped
    shape = iter(coupling.shape(node))
    result: list[Dim] = []
    rest = iter(x)
    for part in parts:
        if part is None:
            result.append(fixed(next(shape)))
            continue
        dim = next(rest)
        if isinstance(part, slice) and _takes_all(part, coupling.groups.size(dim)):
            result.append(dim)
            next(shape)
            continue
        coupling.groups.freeze((dim,), f"{coupling.operation(node)} takes some of them")
        if isinstance(part, slice):
            result.append(fixed(next(shape)))
    return tuple(result)


def _takes_all(part: Any, size: int) -> bool:
    """Whether an index takes all of `size` elements, and so of fewer."""
    if not isinstance(part, slice):
        return False
    stop = size if part.stop is None else part.stop
    return part.start in (None, 0) and isinstance(stop, int) and stop >= size and part.step in (None, 1)


def _crop(coupling: Coupling, node: fx.Node, x: Dims, axis: int, part: Any) -> Dims | None:
    """Consecutive channels become a piece of a split, so that it and the rest may shrink on their own; None
    where that cannot be."""
    if not isinstance(part, slice) or part.step not in (None, 1):
        return None
    if not all(end is None or isinstance(end, int) for end in (part.start, part.stop)):
        return None
    start, stop, _ = part.indices(coupling.groups.size(x[axis]))
    sizes = [start, stop - start, coupling.groups.size(x[axis]) - stop]
    if sizes[1] <= 0:
        return None
    place = 0 if start == 0 else 1
    sizes = [n for n in sizes if n]
    if coupling.groups.cut(x[axis], sizes) is None:
        return None
    source = node.all_input_nodes[0]
    with node.graph.inserting_before(node):
        split = node.graph.call_function(torch.split, (source, sizes), {"dim": axis})
    shape = coupling.shape(source)
    coupling.traced.shapes[split.name] = [(*shape[:axis], n, *shape[axis + 1 :]) for n in sizes]
    pieces: list[Dims] = _pieces(coupling, split, x, axis, sizes)
    coupling.dims[split.name] = pieces
    node.args = (split, place)
    return pieces[place]


def _pad(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    amounts = _argument(node, 1, "pad")
    if not isinstance(amounts, (list, tuple)):
        return coupling.unknown(node)
    result, shape = list(x), coupling.shape(node)
    for place in range(len(amounts) // 2):
        axis = len(x) - 1 - place
        if any(not isinstance(n, int) or n for n in amounts[2 * place : 2 * place + 2]):
            coupling.groups.freeze((x[axis],), f"{coupling.operation(node)} pads them")
            result[axis] = fixed(shape[axis])
    return tuple(result)


def _spatial_padding(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    coupling.groups.freeze(x[2:], f"{coupling.operation(node)} pads them")
    return (*x[:2], *(fixed(n) for n in coupling.shape(node)[2:]))


def _mean(coupling: Coupling, node: fx.Node, x: Dims) -> Any:
    axes = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    keep = node.kwargs.get("keepdim", node.args[2] if len(node.args) > 2 else False)
    if isinstance(axes, int):
        axes = (axes,)
    if not isinstance(axes, (list, tuple)) or not all(isinstance(a, int) for a in axes):
        return coupling.unknown(node)
    reduced = {int(a) % len(x) for a in axes if isinstance(a, int)}
    for axis in reduced:
        coupling.groups.freeze((x[axis],), f"{coupling.operation(node)} over channels")
    if keep:
        return tuple(fixed(1) if i in reduced else dim for i, dim in enumerate(x))
    return tuple(dim for i, dim in enumerate(x) if i not in reduced)


_PADDINGS = (
    nn.ZeroPad1d, nn.ZeroPad2d, nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d,
    nn.ReplicationPad2d, nn.ConstantPad1d, nn.ConstantPad2d, nn.CircularPad2d,
)  # fmt: skip

SHAPE_RULES: dict[Any, Rule] = {
    **dict.fromkeys(("view", "reshape", torch.reshape), _reshape),
    **dict.fromkeys((nn.Flatten, torch.flatten, "flatten"), _flatten),
    **dict.fromkeys((nn.Unflatten, torch.unflatten, "unflatten"), _unflatten),
    **dict.fromkeys((torch.permute, "permute"), _permute),
    **dict.fromkeys((torch.transpose, "transpose", torch.swapaxes, "swapaxes"), _transpose),
    **dict.fromkeys((torch.t, "t"), _matrix_transpose),
    **dict.fromkeys((torch.unsqueeze, "unsqueeze"), _unsqueeze),
    **dict.fromkeys((torch.squeeze, "squeeze"), _squeeze),
    "expand": _expand,
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), _concatenation),
    torch.stack: _stack,
    **dict.fromkeys((torch.chunk, "chunk"), _chunk),
    **dict.fromkeys((torch.split, "split"), _split),
    **dict.fromkeys((torch.unbind, "unbind"), _unbind),
    operator.getitem: _getitem,
    F.pad: _pad,
    **dict.fromkeys(_PADDINGS, _spatial_padding),
    **dict.fromkeys((torch.mean, "mean", torch.sum, "sum", torch.amax, "amax"), _mean),
}
