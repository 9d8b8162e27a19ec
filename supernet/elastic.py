"""The elastic network: one set of shared weights, many sub-networks."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, fx, nn

from supernet.architecture import Architecture
from supernet.blocks import ResidualBlock
from supernet.errors import OvnasError
from supernet.space import Dim, Space

__all__ = ["ElasticNetwork"]

Dims = tuple[Dim, ...]
Sizes = tuple[int, ...]
"""Units of every group."""


class ElasticNetwork(nn.Module):
    """A model whose channels and blocks can be switched off; made by `supernet.generate`.

    A narrower layer takes the first channels of each group: `weight[:out, :in]`. `runs` maps each
    depth slot to its blocks; a dropped block's output is its input. Called without an activation it
    is the pre-trained model.
    """

    def __init__(
        self,
        module: fx.GraphModule,
        space: Space,
        parameter_dims: Mapping[str, Dims],
        runs: Mapping[int, tuple[ResidualBlock, ...]],
    ) -> None:
        super().__init__()
        self.module = module
        self.space = space
        self.parameter_dims = dict(parameter_dims)
        self.runs = dict(runs)
        self._active = space.largest
        self._schedule = lru_cache(maxsize=256)(self._make_schedule)

    @contextmanager
    def activated(self, architecture: Architecture) -> Iterator[ElasticNetwork]:
        """Within the context, calling the network runs `architecture` on the shared weights."""
        self.space.encode(architecture)
        before, self._active = self._active, architecture
        try:
            yield self
        finally:
            self._active = before

    def forward(self, *inputs: Tensor) -> Any:
        """The active sub-network's output."""
        architecture = self._active
        sizes = self.space.units(architecture)
        values: dict[fx.Node, Any] = {}
        feed = iter(inputs)
        narrowed: dict[str, nn.Module] = {}
        for node, alias in self._schedule(architecture.depth):
            if alias is not None:
                values[node] = values[alias]
                continue
            arguments = fx.map_arg((node.args, node.kwargs), values.__getitem__)
            args, kwargs = arguments
            if node.op == "placeholder":
                values[node] = next(feed)
            elif node.op == "get_attr":
                values[node] = self._attribute(str(node.target), sizes)
            elif node.op == "call_function":
                values[node] = node.target(*args, **kwargs)  # type: ignore[operator]
            elif node.op == "call_method":
                values[node] = getattr(args[0], str(node.target))(*args[1:], **kwargs)
            elif node.op == "call_module":
                path = str(node.target)
                if path not in narrowed:
                    narrowed[path] = self._narrowed(path, sizes)
                values[node] = narrowed[path](*args, **kwargs)
            else:
                return args[0]
        raise AssertionError("a traced graph ends with its output")

    def extract(self, architecture: Architecture) -> fx.GraphModule:
        """A plain module of its own with the weights of `architecture`; state-dict names stay.

        In evaluation mode. Its BatchNorm statistics are the shared ones: re-estimate them before its
        accuracy is judged (`supernet.batchnorm.reestimate`).
        """
        sizes = self.space.units(architecture)
        graph = fx.Graph()
        values: dict[fx.Node, fx.Node] = {}
        for node, alias in self._schedule(architecture.depth):
            if alias is not None:
                values[node] = values[alias]
            else:
                values[node] = graph.node_copy(node, values.__getitem__)
        parts: dict[str, Any] = {}
        for node in graph.nodes:
            path = str(node.target)
            if node.op == "call_module" and path not in parts:
                parts[path] = _own(self._narrowed(path, sizes))
            elif node.op == "get_attr" and path not in parts:
                value = self._attribute(path, sizes)
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
        tied = self._tied()
        for index, group in enumerate(self.space.groups):
            if group.slot is None or index in tied:
                continue
            order = torch.argsort(self._importance(index), descending=True, stable=True)
            with torch.no_grad():
                for name, dims in self.parameter_dims.items():
                    value = _attribute(self.module, name)
                    for axis, dim in enumerate(dims):
                        if any(segment.group == index for segment in dim):
                            positions = self._permutation(dim, index, order)
                            value.copy_(value.index_select(axis, positions))

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
        for name, dims in self.parameter_dims.items():
            if not name.endswith("weight") or len(dims) < 2:
                continue
            value = _attribute(self.module, name).detach().double().abs()
            for axis, dim in enumerate(dims):
                per_element = value.sum(dim=[d for d in range(value.ndim) if d != axis])
                start = 0
                for segment in dim:
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

    def _attribute(self, name: str, sizes: Sizes) -> Any:
        value = _attribute(self.module, name)
        return self._cut(value, self.parameter_dims[name], sizes) if name in self.parameter_dims else value

    def _narrowed(self, path: str, sizes: Sizes) -> nn.Module:
        """A shallow copy of a leaf module that sees slices of the shared tensors."""
        original = self.module.get_submodule(path)
        module = copy.copy(original)
        for store in ("_parameters", "_buffers"):
            tensors = dict(getattr(original, store))
            for name, value in tensors.items():
                dims = self.parameter_dims.get(f"{path}.{name}")
                if value is not None and dims is not None:
                    tensors[name] = self._cut(value, dims, sizes)
            module.__dict__[store] = tensors
        _resize(module, original)
        return module

    def _cut(self, value: Tensor, dims: Dims, sizes: Sizes) -> Tensor:
        for axis, dim in enumerate(dims):
            spans, start = [], 0
            for segment in dim:
                full = segment.per_unit * self._full_units(segment.group)
                kept = full if segment.group is None else segment.per_unit * sizes[segment.group]
                spans.append((start, kept))
                start += full
            if sum(kept for _, kept in spans) == value.shape[axis]:
                continue
            pieces = [value.narrow(axis, first, kept) for first, kept in spans]
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
    elif isinstance(module, nn.modules.batchnorm._BatchNorm):
        if module.running_mean is not None:
            module.num_features = module.running_mean.shape[0]
    elif any(
        original._parameters[n] is not None and original._parameters[n].shape != p.shape  # type: ignore[union-attr]
        for n, p in module._parameters.items()
        if p is not None
    ):
        raise OvnasError(f"{type(module).__name__} cannot be made narrower")
