"""The elastic network: one set of shared weights, many sub-networks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, fx, nn

from supernet.architecture import Architecture
from supernet.blocks import ResidualBlock
from supernet.coupling import Number
from supernet.errors import OvnasError
from supernet.kernels import crop_kernel
from supernet.pixels import resized
from supernet.space import Dim, Segment, Space

__all__ = ["Dims", "ElasticNetwork", "Observer"]

Dims = tuple[Dim, ...]
Observer = Callable[[fx.Node, Any], None]
"""Told of each node that ran, and its value."""


@dataclass(frozen=True)
class _Cut:
    """An architecture's units of every group, and side of every elastic kernel by its layer."""

    units: tuple[int, ...]
    kernels: Mapping[str, int]

    def size(self, dim: Dim) -> int:
        """Elements that are left of `dim`."""
        return sum(s.per_unit * (1 if s.group is None else self.units[s.group]) for s in dim)


class ElasticNetwork(nn.Module):
    """A model whose channels and blocks can be switched off; made by `supernet.generate`.

    A narrower layer takes the first channels of each group: `weight[:out, :in]`. `runs` maps each
    depth slot to its blocks; a dropped block's output is its input. `kernels` maps layers to their kernel
    slots: a smaller kernel is the centre of the whole one. `fixed_kernels` and `fixed_resolutions` say why
    others, and some sides of the input in px, are no choices. `attributes` and `numbers` are sizes that
    modules and the graph's nodes repeat; `dims` are the dimensions of every node's output. Called without
    an activation it is the pre-trained model.
    """

    def __init__(
        self,
        module: fx.GraphModule,
        space: Space,
        parameter_dims: Mapping[str, Dims],
        runs: Mapping[int, tuple[ResidualBlock, ...]],
        *,
        attributes: Mapping[str, Mapping[str, Dim | Dims]] | None = None,
        numbers: Mapping[str, tuple[Number, ...]] | None = None,
        kernels: Mapping[str, int] | None = None,
        fixed_kernels: Mapping[str, str] | None = None,
        fixed_resolutions: Mapping[int, str] | None = None,
        dims: Mapping[str, Dims | list[Dims]] | None = None,
    ) -> None:
        super().__init__()
        self.module = module
        self.space = space
        self.parameter_dims = dict(parameter_dims)
        self.runs = dict(runs)
        self.attributes = dict(attributes or {})
        self.numbers = dict(numbers or {})
        self.kernels = dict(kernels or {})
        self.fixed_kernels = dict(fixed_kernels or {})
        self.fixed_resolutions = dict(fixed_resolutions or {})
        self.dims = dict(dims or {})
        self._active = space.largest
        self._schedule = lru_cache(maxsize=256)(self._make_schedule)

    @contextmanager
    def activated(self, architecture: Architecture) -> Iterator[ElasticNetwork]:
        """Within the context, calling the network runs `architecture` on the shared weights, and on its
        inputs resized where it has a resolution of its own."""
        self.space.encode(architecture)
        before, self._active = self._active, architecture
        try:
            yield self
        finally:
            self._active = before

    def forward(self, *inputs: Tensor) -> Any:
        """The active sub-network's output."""
        return self.observed(*inputs)

    def observed(self, *inputs: Tensor, observer: Observer | None = None) -> Any:
        """As a call; `observer` sees every value on the way."""
        architecture = self._active
        side = self.space.resolution(architecture)
        if side is not None:
            inputs = tuple(resized(x, side) for x in inputs)
        cut = self._cut_of(architecture)
        values: dict[fx.Node, Any] = {}
        feed = iter(inputs)
        narrowed: dict[str, nn.Module] = {}
        for node, alias in self._schedule(architecture.depth):
            if alias is not None:
                values[node] = values[alias]
                continue
            args, kwargs = fx.map_arg(self._arguments(node, cut), values.__getitem__)
            if node.op == "placeholder":
                values[node] = next(feed)
            elif node.op == "get_attr":
                values[node] = self._attribute(str(node.target), cut)
            elif node.op == "call_function":
                values[node] = node.target(*args, **kwargs)  # type: ignore[operator]
            elif node.op == "call_method":
                values[node] = getattr(args[0], str(node.target))(*args[1:], **kwargs)
            elif node.op == "call_module":
                path = str(node.target)
                if path not in narrowed:
                    narrowed[path] = self._narrowed(path, cut)
                values[node] = narrowed[path](*args, **kwargs)
            else:
                return args[0]
            if observer is not None:
                observer(node, values[node])
        raise AssertionError("a traced graph ends with its output")

    def scheduled(self, architecture: Architecture) -> list[str]:
        """Names of the nodes that run, in order."""
        return [node.name for node, alias in self._schedule(architecture.depth) if alias is None]

    def extract(self, architecture: Architecture) -> fx.GraphModule:
        """A plain module of its own with the weights of `architecture`; state-dict names stay.

        In evaluation mode. It takes images of its own resolution: see `supernet.resized.images_of`. Its
        BatchNorm statistics are the shared ones: re-estimate them before its accuracy is judged
        (`supernet.batchnorm.reestimate`).
        """
        cut = self._cut_of(architecture)
        graph = fx.Graph()
        values: dict[fx.Node, fx.Node] = {}
        for node, alias in self._schedule(architecture.depth):
            if alias is not None:
                values[node] = values[alias]
                continue
            values[node] = graph.node_copy(node, values.__getitem__)
            if node.name in self.numbers:
                args, kwargs = fx.map_arg(self._arguments(node, cut), values.__getitem__)
                values[node].args, values[node].kwargs = tuple(args), dict(kwargs)
        parts: dict[str, Any] = {}
        for node in graph.nodes:
            path = str(node.target)
            if node.op == "call_module" and path not in parts:
                parts[path] = _own(self._narrowed(path, cut))
            elif node.op == "get_attr" and path not in parts:
                value = self._attribute(path, cut)
                is_parameter = isinstance(_attribute(self.module, path), nn.Parameter)
                value = value.detach().clone() if isinstance(value, Tensor) else value
                parts[path] = nn.Parameter(value) if is_parameter else value
        result = fx.GraphModule(parts, graph)
        return result.eval()

    def order_channels(self) -> None:
        """Sorts every free group's channels by importance, so that a prefix is the best to keep.

        Importance is the sum of the absolute weights that read or make a channel (Once-for-All, Cai
        et al. 2020, section 3.3). The network's function does not change.
        """
        self._permute(lambda group: torch.argsort(self._importance(group), descending=True, stable=True))

    def shuffle_channels(self, generator: torch.Generator) -> None:
        """Puts every free group's channels in a random order. The network's function does not change, which
        proves that every tensor that holds a group's channels is known."""
        self._permute(lambda group: torch.randperm(self.space.groups[group].n_units, generator=generator))

    def _permute(self, order_of: Callable[[int], Tensor]) -> None:
        tied, holders = self._tied(), self._holders()
        for index, group in enumerate(self.space.groups):
            if group.slot is None or index in tied:
                continue
            order = order_of(index)
            with torch.no_grad():
                for name, axis in holders.get(index, ()):
                    value = _attribute(self.module, name)
                    positions = self._permutation(self.parameter_dims[name][axis], index, order)
                    value.copy_(value.index_select(axis, positions.to(value.device)))

    def _holders(self) -> dict[int, list[tuple[str, int]]]:
        """The parameters, and their axes, that hold each group's channels."""
        found: dict[int, list[tuple[str, int]]] = {}
        for name, dims in self.parameter_dims.items():
            for axis, dim in enumerate(dims):
                for group in {s.group for s in dim if s.group is not None}:
                    found.setdefault(group, []).append((name, axis))
        return found

    def _tied(self) -> set[int]:
        """Groups of a parameter that several modules hold: its one order must suit them all."""
        names: dict[int, list[str]] = {}
        for name in self.parameter_dims:
            names.setdefault(id(_attribute(self.module, name)), []).append(name)
        return {
            segment.group
            for shared in names.values()
            if len(shared) > 1
            for name in shared
            for dim in self.parameter_dims[name]
            for segment in dim
            if segment.group is not None
        }

    def _importance(self, group: int) -> Tensor:
        n_units = self.space.groups[group].n_units
        score = torch.zeros(n_units, dtype=torch.float64)
        for name, axis in self._holders().get(group, ()):
            dims = self.parameter_dims[name]
            if not name.endswith("weight") or len(dims) < 2:
                continue
            value = _attribute(self.module, name).detach().double().abs()
            per_element = value.sum(dim=[d for d in range(value.ndim) if d != axis]).cpu()
            start = 0
            for segment in dims[axis]:
                n = segment.per_unit * self._full_units(segment.group)
                if segment.group == group:
                    score += per_element[start : start + n].reshape(n_units, -1).sum(1)
                start += n
        return score

    def _permutation(self, dim: Dim, group: int, order: Tensor) -> Tensor:
        parts, start = [], 0
        for segment in dim:
            n = segment.per_unit * self._full_units(segment.group)
            index = torch.arange(start, start + n)
            if segment.group == group:
                index = index.reshape(-1, segment.per_unit)[order].reshape(-1)
            parts.append(index)
            start += n
        return torch.cat(parts)

    def _full_units(self, group: int | None) -> int:
        return 1 if group is None else self.space.groups[group].n_units

    def _cut_of(self, architecture: Architecture) -> _Cut:
        sides = self.space.kernels(architecture)
        kernels = {layer: sides[slot] for layer, slot in self.kernels.items()}
        return _Cut(self.space.units(architecture), kernels)

    def _arguments(self, node: fx.Node, cut: _Cut) -> tuple[Any, Any]:
        """A node's arguments and keyword arguments, constants that repeat a size set to what is left."""
        found: Any = (node.args, node.kwargs)
        for number in self.numbers.get(node.name, ()):
            found = _replaced(found, number.path, cut.size(number.dim))
        return found[0], found[1]

    def _attribute(self, name: str, cut: _Cut) -> Any:
        value = _attribute(self.module, name)
        return self._cut(value, self.parameter_dims[name], cut) if name in self.parameter_dims else value

    def _narrowed(self, path: str, cut: _Cut) -> nn.Module:
        """A shallow copy of a leaf module that sees slices of the shared tensors."""
        original = self.module.get_submodule(path)
        module = copy.copy(original)
        for store in ("_parameters", "_buffers"):
            tensors = dict(getattr(original, store))
            for name, value in tensors.items():
                dims = self.parameter_dims.get(f"{path}.{name}")
                if value is not None and dims is not None:
                    tensors[name] = self._cut(value, dims, cut)
            module.__dict__[store] = tensors
        attributes = self.attributes.get(path)
        if attributes is None:
            _resize(module, original)
        else:
            for name, dim in attributes.items():
                setattr(module, name, _resized(dim, cut))
        if path in cut.kernels:
            crop_kernel(module, cut.kernels[path])
        return module

    def _cut(self, value: Tensor, dims: Dims, cut: _Cut) -> Tensor:
        for axis, dim in enumerate(dims):
            if cut.size(dim) == value.shape[axis]:
                continue
            pieces, start = [], 0
            for segment in dim:
                pieces.append(value.narrow(axis, start, cut.size((segment,))))
                start += segment.per_unit * self._full_units(segment.group)
            value = pieces[0] if len(pieces) == 1 else torch.cat(pieces, axis)
        return value

    def _make_schedule(self, depth: tuple[int, ...]) -> list[tuple[fx.Node, fx.Node | None]]:
        """Nodes to run in order; a node with an alias only passes the alias's value on."""
        nodes = {node.name: node for node in self.module.graph.nodes}
        skipped: set[str] = set()
        alias: dict[str, str] = {}
        for (_, blocks), kept in zip(sorted(self.runs.items()), depth, strict=True):
            for block in blocks[kept:]:
                skipped |= block.nodes - {block.exit}
                alias[block.exit] = block.entry
        return [
            (node, nodes[alias[name]] if name in alias else None)
            for name, node in nodes.items()
            if name not in skipped
        ]


def _attribute(module: nn.Module, name: str) -> Any:
    path, _, leaf = name.rpartition(".")
    return getattr(module.get_submodule(path), leaf)


def _resized(dim: Dim | Dims, cut: _Cut) -> int | tuple[int, ...]:
    """What an attribute becomes that repeats the size of one dimension, or of several."""
    if not dim or isinstance(dim[0], Segment):
        return cut.size(dim)  # type: ignore[arg-type]
    return tuple(cut.size(one) for one in dim)


def _replaced(value: Any, path: tuple[int | str, ...], number: int) -> Any:
    """`value`, nested sequences and mappings, with `number` at the end of `path`."""
    if not path:
        return number
    if isinstance(value, Mapping):
        return {**value, path[0]: _replaced(value[path[0]], path[1:], number)}
    items = list(value)
    items[int(path[0])] = _replaced(items[int(path[0])], path[1:], number)
    return tuple(items) if isinstance(value, tuple) else items


def _own(module: nn.Module) -> nn.Module:
    """`module` with its own copies of its tensors, submodules and hooks."""
    module.__dict__["_parameters"] = {
        name: None if value is None else nn.Parameter(value.detach().clone(), value.requires_grad)
        for name, value in module._parameters.items()
    }
    module.__dict__["_buffers"] = {
        name: None if value is None else value.detach().clone() for name, value in module._buffers.items()
    }
    return copy.deepcopy(module)


def _resize(module: nn.Module, original: nn.Module) -> None:
    """Sets the attributes that repeat a tensor's shape."""
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        assert isinstance(original, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
        out_per_group = original.out_channels // original.groups
        module.out_channels = module.weight.shape[0]
        module.groups = 1 if original.groups == 1 else module.out_channels // out_per_group
        module.in_channels = module.weight.shape[1] * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        assert isinstance(original, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d))
        in_per_group = original.in_channels // original.groups
        module.in_channels = module.weight.shape[0]
        module.groups = 1 if original.groups == 1 else module.in_channels // in_per_group
        module.out_channels = module.weight.shape[1] * module.groups
    elif any(
        original._parameters[n] is not None and original._parameters[n].shape != p.shape  # type: ignore[union-attr]
        for n, p in module._parameters.items()
        if p is not None
    ):
        raise OvnasError(f"{type(module).__name__} cannot be made narrower")
