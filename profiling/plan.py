"""The kernels that any architecture of a space would execute, known without building it.

The maximal network's executed kernels, with their channels as symbolic dimensions of the space: what a
predictor sees of an architecture in a search. Collection checks it against every network it compiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from profiling.kernel import ExecutedKernel, Kernel, axes_of
from profiling.kernel_dims import fixed_dims, known_nodes, output_dims
from supernet.architecture import Architecture
from supernet.errors import OvnasError
from supernet.space import Block, Dim, Segment, Space, dim_from_json, dim_size

if TYPE_CHECKING:
    from supernet.sliced import SlicedGraph

__all__ = ["Plan", "PlannedKernel", "join_plans", "make_plan"]

_SIDES = ("batch", "channels", "height", "width")
# What a file leaves out.
_USUAL: dict[str, Any] = {
    "kernel_slot": None, "resolution": None, "in_side": "channels", "out_side": "channels",
}  # fmt: skip


@dataclass(frozen=True)
class PlannedKernel:
    """`kernel` is the maximal network's; `inputs` and `outputs` are its symbolic channels, alive when
    `block` is kept, cropped to what `kernel_slot` chooses. `layer` is the author's name of it. It is executed
    at one `resolution`, the side of the input in px, where there are several.

    `in_side` and `out_side` say where the channels are: the "width" of a kernel that knows nothing of layouts
    where the network has its channels last, its "batch" where they are normalised in groups.
    """

    layer: str
    kernel: Kernel
    inputs: Dim
    outputs: Dim
    block: Block | None
    kernel_slot: int | None = None
    resolution: int | None = None
    in_side: str = "channels"
    out_side: str = "channels"

    def sized(self, in_channels: int, out_channels: int, height: int, width: int) -> Kernel:
        """The kernel at a width, with sides of its own. A dense kernel sees all input channels."""
        is_dense = self.kernel.in_per_group == self.kernel.in_channels
        # A flattened map enters a linear layer with one channel a pixel: the same ratio holds.
        sides: dict[str, Any] = {"batch" if self.in_side == "batch" else f"in_{self.in_side}": in_channels}
        if self.out_side != "batch":  # a kernel has the batch of its input
            sides[f"out_{self.out_side}"] = out_channels
        return replace(
            self.kernel,
            **sides,
            in_per_group=in_channels if is_dense else self.kernel.in_per_group,
            kernel_height=height,
            kernel_width=width,
        )


@dataclass(frozen=True)
class Plan:
    """All kernels of a space's maximal network, at each resolution."""

    space: Space
    kernels: tuple[PlannedKernel, ...]

    def of(self, architecture: Architecture) -> list[Kernel]:
        """The kernels of one architecture, in execution order."""
        codes = np.array([self.space.encode(architecture)])
        return [
            planned.sized(*map(int, self.shapes(planned, codes)[0]))
            for planned in self.alive_in(architecture)
        ]

    def alive_in(self, architecture: Architecture) -> list[PlannedKernel]:
        """Those that one architecture executes, in order."""
        codes = np.array([self.space.encode(architecture)])
        return [planned for planned in self.kernels if self.alive(planned, codes)[0]]

    def alive(self, planned: PlannedKernel, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether a kernel is executed, shape (n_architectures,)."""
        is_there = self.space.has_resolution(planned.resolution, codes)
        return np.asarray(is_there & self.space.alive(planned.block, codes))

    def shapes(self, planned: PlannedKernel, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Input and output channels, height and width of a kernel: shape (n_architectures, 4)."""
        sizes = self.space.group_sizes(codes)
        channels = [dim_size(planned.inputs, sizes), dim_size(planned.outputs, sizes)]
        whole = (planned.kernel.kernel_height, planned.kernel.kernel_width)
        sides = self.space.kernel_sides(whole, planned.kernel_slot, codes)
        return np.concatenate([np.stack(channels, axis=1), sides], axis=1)

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` reads back."""
        kernels = [asdict(k) for k in self.kernels]
        for kernel in kernels:
            for key, usual in _USUAL.items():  # as in files from before there was anything else
                if kernel[key] == usual:
                    del kernel[key]
        return {"space": self.space.to_json(), "kernels": kernels}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Plan:
        """Reads `to_json`'s value. Raises OvnasError if it is something else."""
        try:
            kernels = tuple(
                PlannedKernel(
                    layer=k["layer"],
                    kernel=Kernel(**k["kernel"]),
                    inputs=dim_from_json(k["inputs"]),
                    outputs=dim_from_json(k["outputs"]),
                    block=None if k["block"] is None else Block(**k["block"]),
                    **{key: k.get(key, usual) for key, usual in _USUAL.items()},
                )
                for k in value["kernels"]
            )
            return cls(Space.from_json(value["space"]), kernels)
        except (KeyError, TypeError) as error:
            raise OvnasError(f"this is not the JSON of a plan: {error}") from None


def join_plans(plans: Mapping[int, Plan]) -> Plan:
    """One plan of those that were made at each resolution, by the side of the input in px."""
    kernels = (replace(k, resolution=side) for side, plan in plans.items() for k in plan.kernels)
    return Plan(next(iter(plans.values())).space, tuple(kernels))


def make_plan(graphs: SlicedGraph, executed: list[ExecutedKernel]) -> Plan:
    """Ties the maximal network's executed kernels, at one resolution, to the space.

    Raises OvnasError where a kernel's channels cannot be told.
    """
    dims: list[tuple[Dim, ...]] = []
    planned: list[PlannedKernel] = []
    kernel_slots = {layer.name: layer.kernel_slot for layer in graphs.space.layers}
    for item in executed:
        source = item.sources[0]
        inputs = fixed_dims(item.in_shape) if source < 0 else dims[source]
        # Of a split: where its outputs are not known, all channels are fixed. A pooling's are alike.
        if item.port > 0 and executed[source].kernel.kind != "Pooling":
            names = known_nodes(graphs, executed[source])
            pieces = (graphs.further.get((name, item.port)) for name in names)
            inputs = next(filter(None, pieces), fixed_dims(item.in_shape))
        outputs = output_dims(graphs, item, inputs)
        dims.append(outputs)
        (in_side, in_dim), (out_side, out_dim) = (_elastic(graphs.space, item, d) for d in (inputs, outputs))
        layer = layer_name(graphs, item)
        # What the plugin put in goes with what it reads.
        block = planned[source].block if source >= 0 else None
        for name in known_nodes(graphs, item)[:1]:
            block = graphs.blocks.get(name)
        planned.append(
            PlannedKernel(
                layer=layer,
                kernel=item.kernel,
                inputs=in_dim,
                outputs=out_dim,
                block=block,
                kernel_slot=kernel_slots.get(layer) if item.kernel.macs else None,
                in_side=in_side,
                out_side=out_side,
            )
        )
    return Plan(graphs.space, tuple(planned))


def layer_name(graphs: SlicedGraph, item: ExecutedKernel) -> str:
    """The author's layer in a kernel, or the operation's name where there is none."""
    for name in item.originals:
        if name in graphs.layer_of_node:
            return graphs.layer_of_node[name]
        for node, layer in graphs.layer_of_node.items():
            if name.startswith(node):  # the plugin appends to the names of what it rewrites
                return layer
    name = (item.originals or (item.name,))[0]
    return f"{item.kernel.kind.lower()} {name.removeprefix('__module.').split('/')[0]}"


def _elastic(space: Space, item: ExecutedKernel, dims: tuple[Dim, ...]) -> tuple[str, Dim]:
    """The side of the kernel that is elastic, and its size; the channels where none is."""
    free = [axis for axis, dim in enumerate(dims) if space.is_free(dim)]
    axes = axes_of(item.kernel.kind, len(dims))
    if len(free) > 1 or not set(free) <= set(axes):
        raise OvnasError(
            f"{item.name!r} has elastic channels in axes {free} of {len(dims)}: one is understood"
        )
    if free:
        return _SIDES[axes.index(free[0])], dims[free[0]]
    return "channels", dims[axes[1]] if len(dims) > 1 else (Segment(None, 1),)
