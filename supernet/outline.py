"""What a super-network is, operation by operation: everything that its picture and its tables show."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import fx, nn

from supernet import cli
from supernet.counting import uncounted_macs
from supernet.elastic import Dims, ElasticNetwork
from supernet.graph import Example
from supernet.space import Block, Dim, Slot

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Fixed", "Outline", "Row", "facts_of", "outline", "print_outline"]

UNCOUNTED = "million MACs more, not counted (attention, untraced modules)"


@dataclass(frozen=True)
class Row:
    """One operation that makes, joins or takes apart channels. `channels` are those of its output, `least`
    what a sub-network has of them at least, `groups` the free groups that they belong to (by index in the
    space) and `choices` how many widths that gives. `sources` are the rows that it reads. `block` is its
    place among skippable blocks, `sides` the choices of its kernel, ascending."""

    name: str
    operation: str
    shape: tuple[int, ...]
    channels: int
    least: int
    groups: tuple[int, ...]
    choices: int
    sources: tuple[int, ...]
    block: Block | None
    sides: tuple[int, ...]
    macs: int


@dataclass(frozen=True)
class Fixed:
    """Channels, a kernel or a resolution that stay, and why."""

    name: str
    what: str
    reason: str


@dataclass(frozen=True)
class Outline:
    """`slots` are the space's; MACs are of one image, `uncounted_macs` those that the space does not know:
    attention, modules that could not be traced into."""

    rows: tuple[Row, ...]
    slots: tuple[Slot, ...]
    fixed: tuple[Fixed, ...]
    log10_size: float
    least_macs: int
    most_macs: int
    uncounted_macs: int

    def n_slots(self, kind: str) -> int:
        """How many slots are of a kind."""
        return sum(slot.kind == kind for slot in self.slots)

    @property
    def n_skippable(self) -> int:
        """Blocks that some sub-network leaves out."""
        return sum(int(s.choices[-1] - s.choices[0]) for s in self.slots if s.kind == "depth")


def outline(network: ElasticNetwork, example: Example) -> Outline:
    """The outline of a super-network, whose example input says what runs in it."""
    space = network.space
    fixed = [
        Fixed(group.name, f"{group.n_units} unit(s) of channels", group.reason)
        for group in space.groups
        if group.slot is None
    ]
    fixed += [Fixed(name, "kernel", reason) for name, reason in network.fixed_kernels.items()]
    fixed += [Fixed("input", f"not {side} px", reason) for side, reason in network.fixed_resolutions.items()]
    return Outline(
        tuple(_Rows(network).rows),
        space.slots,
        tuple(fixed),
        space.log10_size,
        space.macs(space.smallest),
        space.macs(space.largest),
        uncounted_macs(network, example),
    )


def facts_of(found: Outline) -> list[tuple[str, str]]:
    """Headline figures: (value, what it is)."""
    uncounted = [(f"{found.uncounted_macs / 1e6:,.1f}", UNCOUNTED)] if found.uncounted_macs else []
    resolutions = [(str(len(s.choices)), "input resolutions") for s in found.slots if s.kind == "resolution"]
    return [
        (f"10^{found.log10_size:.1f}", "sub-networks"),
        (f"{found.least_macs / 1e6:,.1f} to {found.most_macs / 1e6:,.1f}", "million MACs"),
        *uncounted,
        (str(found.n_slots("width") + found.n_slots("expand")), "widths to choose"),
        (str(found.n_skippable), "blocks that may be skipped"),
        (str(found.n_slots("kernel")), "elastic kernels"),
        *resolutions,
    ]


def print_outline(found: Outline, name: str, out: Console) -> None:
    """What can be chosen, and what stays fixed and why; `name` is the study's."""
    facts = ", ".join(f"{value} {what}" for value, what in facts_of(found))
    cli.print_table(out, f"{name}: {facts}", ("choice", "of", "values"), [slot.texts for slot in found.slots])
    for one in found.fixed:
        out.print(f"fixed: {one.name} ({one.what}): {one.reason}")


class _Rows:
    """Goes through the graph once."""

    def __init__(self, network: ElasticNetwork) -> None:
        self.network, self.space = network, network.space
        self.full = tuple(group.n_units for group in self.space.groups)
        # Not of the smallest sub-network, which has no inner channels of blocks that it skips.
        smallest = np.zeros((1, len(self.space.slots)), dtype=np.int64)
        self.least = tuple(int(n) for n in self.space.group_sizes(smallest)[0])
        self.blocks = {
            name: Block(slot, position)
            for slot, run in network.runs.items()
            for position, block in enumerate(run)
            for name in block.nodes
            if position >= self.space.slots[slot].choices[0]
        }
        self.macs = self._macs()
        self.rows: list[Row] = []
        made_by: dict[fx.Node, set[int]] = {}
        for node in network.module.graph.nodes:
            read = sorted({i for source in node.all_input_nodes for i in made_by.get(source, ())})
            operation = self._operation(node)
            if operation is None or node.name not in network.dims:
                made_by[node] = set(read)
            else:
                made_by[node] = {len(self.rows)}
                self.rows.append(self._row(node, operation, read))

    def _macs(self) -> dict[str, int]:
        """Multiply-accumulates of a layer in the largest network, all its calls together."""
        result: dict[str, int] = {}
        for layer in self.space.layers:
            seen = layer.in_per_group or self._size(layer.inputs, self.full)
            each = layer.n_positions * math.prod(layer.kernel) * seen
            result[layer.name] = result.get(layer.name, 0) + each * self._size(layer.outputs, self.full)
        return result

    def _row(self, node: fx.Node, operation: str, sources: Iterable[int]) -> Row:
        dims = self.network.dims[node.name]
        first: Dims = dims[0] if isinstance(dims, list) else dims
        channel: Dim = next((dim for dim in first if self.space.is_free(dim)), first[min(1, len(first) - 1)])
        groups = tuple(
            dict.fromkeys(
                s.group
                for s in channel
                if s.group is not None and self.space.groups[s.group].slot is not None
            )
        )
        slots = {slot for g in groups if (slot := self.space.groups[g].slot) is not None}
        kernel = self.network.kernels.get(str(node.target)) if node.op == "call_module" else None
        return Row(
            name=str(node.target) if node.op == "call_module" else node.name,
            operation=operation,
            shape=tuple(self._size(dim, self.full) for dim in first),
            channels=self._size(channel, self.full),
            least=self._size(channel, self.least),
            groups=groups,
            choices=math.prod(len(self.space.slots[slot].choices) for slot in slots),
            sources=tuple(sources),
            block=self.blocks.get(node.name),
            sides=() if kernel is None else tuple(int(c) for c in self.space.slots[kernel].choices),
            macs=self.macs.get(str(node.target), 0) if node.op == "call_module" else 0,
        )

    def _operation(self, node: fx.Node) -> str | None:
        """What a reader calls it; None for what leaves channels as they are."""
        if node.op == "placeholder":
            return "input"
        if node.op == "call_module":
            return _layer(self.network.module.get_submodule(str(node.target)))
        if node.op not in ("call_function", "call_method"):
            return None
        name = str(getattr(node.target, "__name__", node.target)).strip("_")
        tensors = [n for n in node.all_input_nodes if n.op != "get_attr" and n.name in self.network.dims]
        if name in _NAMES and (len(tensors) > 1 or name not in _BINARY):
            return _NAMES[name]
        return None

    @staticmethod
    def _size(dim: Dim, units: tuple[int, ...]) -> int:
        return sum(s.per_unit * (1 if s.group is None else units[s.group]) for s in dim)


def _layer(module: nn.Module) -> str | None:
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        sides = "x".join(map(str, module.kernel_size))
        stride = f", stride {module.stride[0]}" if max(module.stride) > 1 else ""
        if module.groups == 1:
            return f"convolution {sides}{stride}"
        is_depthwise = module.groups == module.in_channels
        return f"{'depthwise' if is_depthwise else f'{module.groups} groups'} {sides}{stride}"
    if isinstance(module, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        return f"transposed {'x'.join(map(str, module.kernel_size))}"
    if isinstance(module, nn.Linear):
        return "linear"
    name = type(module).__name__
    if "Pool" in name:
        return "pooling"
    if "Upsample" in name:
        return "interpolation"
    return name if isinstance(module, (nn.MultiheadAttention, nn.RNNBase)) else None


_BINARY = ("add", "iadd", "mul", "imul", "sub")
_NAMES = {
    **dict.fromkeys(("add", "iadd"), "addition"),
    **dict.fromkeys(("mul", "imul"), "product"),
    **dict.fromkeys(("sub",), "difference"),
    **dict.fromkeys(("cat", "concat", "stack"), "concatenation"),
    **dict.fromkeys(("split", "chunk"), "split"),
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "mean"), "pooling"),
    "interpolate": "interpolation",
}
