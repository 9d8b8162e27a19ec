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

from profiling.kernel import ExecutedKernel, Kernel
from supernet.architecture import Architecture
from supernet.errors import OvnasError
from supernet.space import Block, Dim, Segment, Space, dim_from_json, dim_size

if TYPE_CHECKING:
    from supernet.sliced import SlicedGraph

__all__ = ["Plan", "PlannedKernel", "join_plans", "make_plan"]


@dataclass(frozen=True)
class PlannedKernel:
    """`kernel` is the maximal network's; `inputs` and `outputs` are its symbolic channels, alive when
    `block` is kept, cropped to what `kernel_slot` chooses. `layer` is the author's name of it. It is executed
    at one `resolution`, the side of the input in px, where there are several."""

    layer: str
    kernel: Kernel
    inputs: Dim
    outputs: Dim
    block: Block | None
    kernel_slot: int | None = None
    resolution: int | None = None

    def sized(self, in_channels: int, out_channels: int, height: int, width: int) -> Kernel:
        """The kernel at a width, with sides of its own. A dense kernel sees all input channels."""
        is_dense = self.kernel.in_per_group == self.kernel.in_channels
        # A flattened map enters a linear layer with one channel a pixel: the same ratio holds.
        return replace(
            self.kernel,
            in_channels=in_channels,
            out_channels=out_channels,
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
            if kernel["kernel_slot"] is None:  # as in files from before there were any
                del kernel["kernel_slot"]
            if kernel["resolution"] is None:
                del kernel["resolution"]
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
                    kernel_slot=k.get("kernel_slot"),
                    resolution=k.get("resolution"),
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
        inputs = _fixed(item.in_shape) if source < 0 else dims[source]
        outputs = _output_dims(graphs, item, inputs)
        dims.append(outputs)
        _check(graphs.space, item, inputs, outputs)
        layer = layer_name(graphs, item)
        blocks = {graphs.blocks.get(name) for name in item.originals[:1]}
        if not item.originals:  # a reorder that the plugin put in goes with what it reads
            blocks = {planned[source].block if source >= 0 else None}
        planned.append(
            PlannedKernel(
                layer=layer,
                kernel=item.kernel,
                inputs=_channel(inputs),
                outputs=_channel(outputs),
                block=blocks.pop(),
                kernel_slot=kernel_slots.get(layer) if item.kernel.macs else None,
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


def _output_dims(graphs: SlicedGraph, item: ExecutedKernel, inputs: tuple[Dim, ...]) -> tuple[Dim, ...]:
    for name in reversed(item.originals):
        known = graphs.outputs.get(name)
        if known is not None and _sizes(graphs.space, known) == item.out_shape:
            return known
    if item.out_shape == item.in_shape:
        return inputs
    if not any(graphs.space.is_free(dim) for dim in inputs):
        return _fixed(item.out_shape)
    raise OvnasError(f"the channels of the executed kernel {item.name!r} cannot be told")


def _check(space: Space, item: ExecutedKernel, inputs: tuple[Dim, ...], outputs: tuple[Dim, ...]) -> None:
    for dims in (inputs, outputs):
        for axis, dim in enumerate(dims):
            if axis != 1 and space.is_free(dim):
                raise OvnasError(f"{item.name!r} has elastic channels in another place than axis 1")


def _channel(dims: tuple[Dim, ...]) -> Dim:
    return dims[1] if len(dims) > 1 else (Segment(None, 1),)


def _fixed(shape: tuple[int, ...]) -> tuple[Dim, ...]:
    return tuple((Segment(None, int(n)),) for n in shape)


def _sizes(space: Space, dims: tuple[Dim, ...]) -> tuple[int, ...]:
    full = np.array([[group.n_units for group in space.groups]])
    return tuple(int(dim_size(dim, full)[0]) for dim in dims)
