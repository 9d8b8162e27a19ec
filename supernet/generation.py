"""From a pre-trained model to its super-network: trace, follow channels, find blocks, make the space."""

from __future__ import annotations

import dataclasses
import fnmatch
import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from supernet.blocks import ResidualBlock, find_blocks, find_runs
from supernet.coupling import Coupling, Dims, LayerCall
from supernet.elastic import ElasticNetwork
from supernet.errors import OvnasError, nearest
from supernet.following import follow_channels
from supernet.graph import Example, reproduces, trace
from supernet.kernels import kernel_choices
from supernet.proof import Fault, find_fault
from supernet.resolution import Resolutions, find_resolutions
from supernet.space import Block, Dim, Group, Layer, Segment, Slot, Space, make_divisible
from supernet.study import SpaceSection

__all__ = ["generate"]

# Operations that turn out not to bear narrower tensors, before everything is fixed.
MAX_FAULTS = 20


def generate(model: nn.Module, example_input: Example, options: SpaceSection | None = None) -> ElasticNetwork:
    """Makes a super-network of any traceable model, all of it trainable; `model` itself is not changed.

    `example_input` is one batch as the model takes it (or a tuple of several inputs). What is not
    understood stays fixed, with a reason in `net.space.groups`. Raises OvnasError if the model cannot
    be traced, if the result would not reproduce it, if an excluded layer is none of the model's, or if
    resolutions are asked for that no square input of the example's size could be reduced to.
    """
    options = options or SpaceSection()
    traced = trace(model, example_input)
    coupling = follow_channels(traced)
    excluded = _excluded(coupling, options.exclude)
    blocks = [_unless_excluded(block, coupling, excluded) for block in find_blocks(traced)]
    network = _Builder(coupling, blocks, options, excluded).build()
    for _ in range(MAX_FAULTS):
        fault = find_fault(network, example_input)
        if fault is None:
            break
        _freeze(coupling, fault)
        network = _Builder(coupling, blocks, options, excluded).build()
    else:
        options = dataclasses.replace(options, max_dropped=0, kernel=())
        _freeze_all(coupling, "sub-networks of this model do not run")
        network = _Builder(coupling, blocks, options, excluded).build()
    if options.resolution:
        found = find_resolutions(network, example_input, options.resolution)
        network = _Builder(coupling, blocks, options, excluded).build(found)
    if not reproduces(traced.module, network, example_input):
        raise OvnasError("the super-network's largest architecture does not reproduce the model")
    for parameter in network.parameters():  # frozen ones of the model are the user's way of training that
        parameter.requires_grad_(parameter.is_floating_point())
    return network


def _excluded(coupling: Coupling, patterns: Iterable[str]) -> frozenset[str]:
    """Layers that any of the patterns names; their channels are fixed."""
    names = [call.module for call in coupling.layers]
    found: set[str] = set()
    for pattern in patterns:
        matches = set(fnmatch.filter(names, pattern))
        if not matches:
            raise OvnasError(
                f"[space] exclude names no layer of the model: {pattern!r}{nearest(pattern, names)}"
            )
        found |= matches
    for call in coupling.layers:
        if call.module in found:
            coupling.groups.freeze((call.outputs,), f"{call.module} is excluded")
    return frozenset(found)


def _unless_excluded(block: ResidualBlock, coupling: Coupling, excluded: frozenset[str]) -> ResidualBlock:
    """A block with an excluded layer in it is never dropped."""
    holds = any(call.module in excluded and call.node in block.nodes for call in coupling.layers)
    return dataclasses.replace(block, is_identity=False) if holds else block


def _freeze(coupling: Coupling, fault: Fault) -> None:
    """Fixes what meets at the operation that failed; if that is fixed already, what its sizes are taken from;
    else everything."""
    node = next(n for n in coupling.traced.module.graph.nodes if n.name == fault.node)
    made = coupling.dims[fault.node]
    met: list[Dims] = [*coupling.inputs_of(node), *(made if isinstance(made, list) else [made or ()])]
    for reached in (met, coupling.measured_by(node)):
        if any(coupling.groups.is_free(dim) for dims in reached for dim in dims):
            for dims in reached:
                coupling.groups.freeze(dims, f"{coupling.operation(node)} {fault.reason}")
            return
    _freeze_all(coupling, f"{coupling.operation(node)} {fault.reason}")


def _freeze_all(coupling: Coupling, reason: str) -> None:
    coupling.groups.freeze(((Segment(root, 1),) for root in coupling.groups.roots()), reason)


class _Builder:
    """Numbers slots and groups, in the network's order."""

    def __init__(
        self,
        coupling: Coupling,
        blocks: list[ResidualBlock],
        options: SpaceSection,
        excluded: frozenset[str],
    ) -> None:
        self.coupling, self.blocks, self.options, self.excluded = coupling, blocks, options, excluded
        self.runs = find_runs(blocks)
        self.slots: list[Slot] = []
        self.groups: list[Group] = []
        self.index_of_root: dict[int, int] = {}
        self.block_of_node: dict[str, Block] = {}
        self.nodes = {node.name: node for node in coupling.traced.module.graph.nodes}
        self.nodes_of_layer: dict[str, list[str]] = {}
        for call in coupling.layers:
            self.nodes_of_layer.setdefault(call.module, []).append(call.node)
        self.kernel_slots: dict[str, int] = {}
        self.fixed_kernels: dict[str, str] = {}

    def build(self, resolutions: Resolutions | None = None) -> ElasticNetwork:
        resolutions = resolutions or Resolutions({}, {})
        runs = self._add_depth_slots()
        self._add_groups()
        self._add_kernel_slots()
        if len(resolutions.shapes) > 1:
            self.slots.append(Slot("input resolution", "resolution", tuple(resolutions.shapes)))
        space = Space(tuple(self.slots), tuple(self.groups), self._layers(resolutions), self.options.divisor)
        coupling = self.coupling
        return ElasticNetwork(
            coupling.traced.module,
            space,
            {name: self._final_dims(dims) for name, dims in coupling.parameters.items()},
            runs,
            attributes={
                path: {name: self._final_sizes(value) for name, value in attributes.items()}
                for path, attributes in coupling.attributes.items()
            },
            numbers={
                node: tuple(dataclasses.replace(n, dim=self._final(n.dim)) for n in numbers)
                for node, numbers in coupling.numbers.items()
                if numbers
            },
            kernels=self.kernel_slots,
            fixed_kernels=self.fixed_kernels,
            fixed_resolutions={
                side: f"{self._operation(fault.node)} {fault.reason}"
                for side, fault in resolutions.faults.items()
            },
            dims={
                name: [self._final_dims(one) for one in dims]
                if isinstance(dims, list)
                else self._final_dims(dims)
                for name, dims in coupling.dims.items()
                if dims is not None
            },
        )

    def _add_depth_slots(self) -> dict[int, tuple[ResidualBlock, ...]]:
        result = {}
        for run in self.runs:
            dropped = len(run) if self.options.max_dropped < 0 else self.options.max_dropped
            lowest = max(0, len(run) - dropped)
            if lowest == len(run):
                continue
            slot = len(self.slots)
            choices = tuple(range(lowest, len(run) + 1))
            self.slots.append(Slot(f"{self._label(run[0])} depth", "depth", choices))
            for position, block in enumerate(run):
                for node in block.nodes:
                    self.block_of_node[node] = Block(slot, position)
            result[slot] = tuple(run)
        return result

    def _label(self, block: ResidualBlock) -> str:
        """The module path that all layers of a block share."""
        paths = [c.module.split(".") for c in self.coupling.layers if c.node in block.nodes]
        shared = []
        for parts in zip(*paths, strict=False):
            if len(set(parts)) > 1:
                break
            shared.append(parts[0])
        return ".".join(shared) or (paths[0][0] if paths else block.exit)

    def _add_groups(self) -> None:
        roots = self.coupling.groups.roots()
        outer = [root for root in roots if self._inner_block(root) is None]
        inner = [root for root in roots if self._inner_block(root) is not None]
        for root in outer:
            self._add_group(root, None)
        expand_slots: dict[str, int] = {}
        for root in inner:
            block = self._inner_block(root)
            assert block is not None
            self._add_group(root, block, expand_slots)
        for call in {call.module: call for call in self.coupling.layers}.values():
            outputs = self.coupling.groups.resolve(call.outputs)
            if all(segment.group is None for segment in outputs):
                size = self.coupling.groups.size(outputs)
                reason = "every bundle of its channels is cut by a split"
                self.groups.append(Group(call.module, size, None, reason=reason))

    def _inner_block(self, root: int) -> ResidualBlock | None:
        """The smallest block that makes all of a root's channels without passing them on."""
        _, _, _, producers = self.coupling.groups.describe(root)
        nodes = {node for p in producers for node in self.nodes_of_layer.get(p, ())}
        candidates = [
            block for block in self.blocks if nodes <= block.nodes and root != self._output_root(block)
        ]
        return min(candidates, key=lambda b: len(b.nodes), default=None)

    def _output_root(self, block: ResidualBlock) -> int | None:
        dims = self.coupling.resolve(self.coupling.dims[block.exit])
        found = [segment for dim in dims for segment in dim if segment.group is not None]
        return found[0].group if len(found) == 1 else None

    def _add_group(
        self, root: int, block: ResidualBlock | None, expand_slots: dict[str, int] | None = None
    ) -> None:
        name, n_units, reason, producers = self.coupling.groups.describe(root)
        slot: int | None = None
        parent: int | None = None
        if not reason:
            if block is not None and expand_slots is not None and self.options.expand:
                slot, parent, reason = self._expand_slot(n_units, block, expand_slots)
            else:
                slot, reason = self._width_slot(root, name, n_units, producers)
        self.index_of_root[root] = len(self.groups)
        self.groups.append(Group(name, n_units, slot, parent, reason))

    def _channels_per_unit(self, root: int, producers: list[str]) -> int:
        """The fewest channels of a producing layer that a unit stands for."""
        outputs = [c.outputs for c in self.coupling.layers if c.module in producers]
        counts = (
            sum(s.per_unit for s in self.coupling.groups.resolve(dim) if s.group == root) for dim in outputs
        )
        return min((n for n in counts if n), default=1)

    def _width_slot(self, root: int, name: str, n_units: int, producers: list[str]) -> tuple[int | None, str]:
        per_unit = max(1, self._channels_per_unit(root, producers))
        divisor = self.options.divisor // math.gcd(self.options.divisor, per_unit)
        least = math.ceil(self.options.min_channels / per_unit)
        sizes = {min(n_units, max(least, make_divisible(n_units * r, divisor))) for r in self.options.width}
        choices = tuple(sorted(sizes | {n_units}))
        if len(choices) == 1:
            floor = f" and at least {self.options.min_channels} channels" if least > 1 else ""
            return None, f"{n_units} channels have no narrower choice at divisor {divisor}{floor}"
        self.slots.append(Slot(name, "width", choices, self._first_block(producers)))
        return len(self.slots) - 1, ""

    def _first_block(self, producers: list[str]) -> Block | None:
        """The block without which none of the layers runs: of several blocks of one run the first; None where
        some run in any case."""
        places = {self.block_of_node.get(node) for p in producers for node in self.nodes_of_layer[p]}
        blocks = [place for place in places if place is not None]
        is_one_run = len(blocks) == len(places) and len({block.slot for block in blocks}) == 1
        return min(blocks, key=lambda block: block.position) if is_one_run else None

    def _expand_slot(
        self, n_units: int, block: ResidualBlock, expand_slots: dict[str, int]
    ) -> tuple[int | None, int | None, str]:
        root = self._output_root(block)
        if root is None or root not in self.index_of_root:
            return None, None, "its block's output is made up of several groups"
        parent = self.index_of_root[root]
        largest = n_units / self.groups[parent].n_units
        ratios = sorted({r for r in self.options.expand if r < largest * (1 - 1e-5)} | {largest})
        if len(ratios) == 1:
            return None, None, f"no expand ratio is below its {largest:g}"
        key = f"{block.exit} {largest}"
        if key not in expand_slots:
            expand_slots[key] = len(self.slots)
            place = self.block_of_node.get(block.exit)
            self.slots.append(Slot(f"{self._label(block)} expand", "expand", tuple(ratios), place))
        return expand_slots[key], parent, ""

    def _add_kernel_slots(self) -> None:
        if not self.options.kernel:
            return
        for name, nodes in self._calls().items():
            module = self.coupling.traced.module.get_submodule(name)
            choices, reason = kernel_choices(module, self.options.kernel)
            if choices and name in self.excluded:
                choices, reason = (), "it is excluded"
            if choices:
                places = {self.block_of_node.get(node) for node in nodes}
                self.kernel_slots[name] = len(self.slots)
                block = places.pop() if len(places) == 1 else None
                self.slots.append(Slot(f"{name} kernel", "kernel", choices, block))
            elif reason:
                self.fixed_kernels[name] = reason

    def _calls(self) -> dict[str, list[str]]:
        """The nodes that call each convolution."""
        calls: dict[str, list[str]] = {}
        for call in self.coupling.layers:
            if not isinstance(self.coupling.traced.module.get_submodule(call.module), nn.Linear):
                calls.setdefault(call.module, []).append(call.node)
        return calls

    def _final_dims(self, dims: Dims) -> Dims:
        return tuple(self._final(dim) for dim in dims)

    def _final_sizes(self, value: Dim | Dims) -> Dim | Dims:
        """Of an attribute: one dimension, or several."""
        is_one = not value or isinstance(value[0], Segment)
        return self._final(value) if is_one else self._final_dims(value)  # type: ignore[arg-type]

    def _final(self, dim: Dim) -> Dim:
        """`dim` with final group indices; roots that no layer makes are fixed."""
        groups = self.coupling.groups
        return tuple(
            Segment(self.index_of_root[s.group], s.per_unit)
            if s.group in self.index_of_root
            else Segment(None, groups.size((s,)))
            for s in groups.resolve(dim)
        )

    def _operation(self, name: str) -> str:
        return self.coupling.operation(self.nodes[name])

    def _layers(self, resolutions: Resolutions) -> tuple[Layer, ...]:
        return tuple(self._layer(call, resolutions) for call in self.coupling.layers)

    def _layer(self, call: LayerCall, resolutions: Resolutions) -> Layer:
        traced = self.coupling.traced
        module = traced.module.get_submodule(call.module)
        in_per_group, kernel = None, (1, 1)
        if not isinstance(module, nn.Linear):
            assert isinstance(module, _CONVOLUTIONS)
            kernel = (module.kernel_size[0], math.prod(module.kernel_size[1:]))
            if module.groups > 1:
                in_per_group = module.in_channels // module.groups
        return Layer(
            name=call.module,
            op="linear" if isinstance(module, nn.Linear) else "conv",
            inputs=self._final(call.inputs),
            outputs=self._final(call.outputs),
            in_per_group=in_per_group,
            kernel=kernel,
            n_positions=self._n_positions(call, traced.shapes),
            block=self.block_of_node.get(call.node),
            kernel_slot=self.kernel_slots.get(call.module),
            positions_at=tuple(
                (side, self._n_positions(call, shapes)) for side, shapes in resolutions.shapes.items()
            ),
        )

    def _n_positions(self, call: LayerCall, shapes: Mapping[str, Any]) -> int:
        """Of one image: what a layer is given may have other things folded into its batch."""
        module = self.coupling.traced.module.get_submodule(call.module)
        batch = next(shapes[name][0] for name, node in self.nodes.items() if node.op == "placeholder")
        if isinstance(module, nn.Linear):
            return int(math.prod(shapes[call.node][:-1]) // batch)
        is_transposed = isinstance(module, _TRANSPOSED)
        moved = shapes[self.nodes[call.node].all_input_nodes[0].name if is_transposed else call.node]
        return int(moved[0] * math.prod(moved[2:]) // batch)


_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
