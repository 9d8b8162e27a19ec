"""From a pre-trained model to its super-network: trace, follow channels, find blocks, make the space."""

from __future__ import annotations

import math

from torch import nn

from supernet.blocks import ResidualBlock, find_blocks, find_runs
from supernet.coupling import Coupling, follow_channels
from supernet.elastic import ElasticNetwork
from supernet.errors import OvnasError
from supernet.graph import Example, reproduces, trace
from supernet.space import Block, Dim, Group, Layer, Segment, Slot, Space, make_divisible
from supernet.study import SpaceSection

__all__ = ["generate"]


def generate(model: nn.Module, example_input: Example, options: SpaceSection | None = None) -> ElasticNetwork:
    """Makes a super-network of any traceable model; `model` itself is not changed.

    `example_input` is one batch as the model takes it (or a tuple of several inputs). What is not
    understood stays fixed, with a reason in `net.space.groups`. Raises OvnasError if the model cannot
    be traced, or if the result would not reproduce it.
    """
    options = options or SpaceSection()
    traced = trace(model, example_input)
    coupling = follow_channels(traced)
    blocks = find_blocks(traced)
    network = _Builder(coupling, blocks, options).build()
    if not reproduces(traced.module, network, example_input):
        raise OvnasError("the super-network's largest architecture does not reproduce the model")
    return network


class _Builder:
    """Numbers slots and groups, in the network's order."""

    def __init__(self, coupling: Coupling, blocks: list[ResidualBlock], options: SpaceSection) -> None:
        self.coupling, self.blocks, self.options = coupling, blocks, options
        self.runs = find_runs(blocks)
        self.slots: list[Slot] = []
        self.groups: list[Group] = []
        self.index_of_root: dict[int, int] = {}
        self.block_of_node: dict[str, Block] = {}
        self.node_of_layer = {call.module: call.node for call in coupling.layers}

    def build(self) -> ElasticNetwork:
        runs = self._add_depth_slots()
        self._add_groups()
        space = Space(tuple(self.slots), tuple(self.groups), self._layers(), self.options.divisor)
        dims = {
            name: tuple(self._final(dim) for dim in dims) for name, dims in self.coupling.parameters.items()
        }
        return ElasticNetwork(self.coupling.traced.module, space, dims, runs)

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

    def _inner_block(self, root: int) -> ResidualBlock | None:
        """The smallest block that makes all of a root's channels without passing them on."""
        _, _, _, producers = self.coupling.groups.describe(root)
        nodes = {self.node_of_layer[p] for p in producers if p in self.node_of_layer}
        candidates = [
            block for block in self.blocks if nodes <= block.nodes and root != self._output_root(block)
        ]
        return min(candidates, key=lambda b: len(b.nodes), default=None)

    def _output_root(self, block: ResidualBlock) -> int | None:
        dims = self.coupling.dims[block.exit]
        segments = self.coupling.groups.resolve(dims[1]) if len(dims) > 1 else ()
        return segments[0].group if len(segments) == 1 else None

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
                slot, reason = self._width_slot(name, n_units, producers)
        self.index_of_root[root] = len(self.groups)
        self.groups.append(Group(name, n_units, slot, parent, reason))

    def _width_slot(self, name: str, n_units: int, producers: list[str]) -> tuple[int | None, str]:
        channels = min(
            self.coupling.groups.size(self.coupling.groups.resolve(call.outputs))
            for call in self.coupling.layers
            if call.module in producers
        )
        divisor = max(1, self.options.divisor // max(1, channels // n_units))
        sizes = {min(n_units, make_divisible(n_units * r, divisor)) for r in self.options.width}
        choices = tuple(sorted(sizes | {n_units}))
        if len(choices) == 1:
            return None, f"{n_units} channels have no narrower choice at divisor {divisor}"
        nodes = [self.node_of_layer[p] for p in producers]
        places = {self.block_of_node.get(node) for node in nodes}
        block = places.pop() if len(places) == 1 else None
        self.slots.append(Slot(name, "width", choices, block))
        return len(self.slots) - 1, ""

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

    def _final(self, dim: Dim) -> Dim:
        """`dim` with final group indices; roots that no layer makes are fixed."""
        groups = self.coupling.groups
        return tuple(
            Segment(self.index_of_root[s.group], s.per_unit)
            if s.group in self.index_of_root
            else Segment(None, groups.size((s,)))
            for s in groups.resolve(dim)
        )

    def _layers(self) -> tuple[Layer, ...]:
        return tuple(self._layer(index) for index in range(len(self.coupling.layers)))

    def _layer(self, index: int) -> Layer:
        call = self.coupling.layers[index]
        traced = self.coupling.traced
        module = traced.module.get_submodule(call.module)
        shape = traced.shapes[call.node]
        in_per_group, kernel, positions = None, (1, 1), math.prod(shape[1:-1])
        if not isinstance(module, nn.Linear):
            assert isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
            positions = math.prod(shape[2:])
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
            n_positions=positions,
            block=self.block_of_node.get(call.node),
        )
