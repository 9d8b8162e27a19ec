"""The fast road to many INT8 graphs: quantise the maximal network once, then slice its OpenVINO graph.

Latency does not depend on the values of weights or ranges, so long as none is for nothing (see
`supernet.stand_in`). So a sub-network's graph is the maximal graph with shorter constants and bypassed
blocks: tens of milliseconds in place of the seconds that conversion and quantisation take. Which constant
shrinks along which axis is found by following the space's channel groups through the quantised graph,
starting at the layers, which keep their names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from supernet.architecture import Architecture
from supernet.elastic import ElasticNetwork
from supernet.graph import as_tuple
from supernet.int8 import convert_with_taps, quantize
from supernet.int8_edits import bypass
from supernet.int8_following import follow_quantised
from supernet.pixels import resized
from supernet.space import Block

if TYPE_CHECKING:
    import openvino as ov

__all__ = ["SlicedGraph", "SlicedGraphs"]


class SlicedGraph:
    """The maximal INT8 OpenVINO model of `network` for inputs of one size, and its slices.

    `outputs` gives, by node name, the symbolic dimensions of a node's first output, `further` by name and
    index those behind it; `blocks` the skippable block that a node belongs to; `layer_of_node` the author's
    layer.
    """

    def __init__(self, network: ElasticNetwork, example_input: Tensor, samples: Tensor) -> None:
        """Converts and quantises the maximal network with `samples`, shape (n, C, H, W).

        Raises OvnasError if the quantised graph holds an operation whose channels cannot be followed.
        """
        self.space = network.space
        plain = network.extract(self.space.largest)
        taps = sorted({n for run in network.runs.values() for b in run for n in (b.entry, b.exit)})
        model, names = convert_with_taps(plain, as_tuple(example_input), taps)
        self.maximal = quantize(model, samples, fast=True)
        self._runs = {
            slot: [(names[b.entry], names[b.exit]) for b in run] for slot, run in sorted(network.runs.items())
        }
        self._coupling = follow_quantised(self.maximal, self.space)
        self.outputs, self.further = self._coupling.outputs, self._coupling.further
        self.layer_of_node = self._coupling.layer_of_node
        self.blocks = self._find_blocks()

    def model(self, architecture: Architecture) -> ov.Model:
        """The INT8 graph of one architecture, a new model, whatever the architecture's resolution."""
        units, sides = self.space.units(architecture), self.space.kernels(architecture)
        full = tuple(group.n_units for group in self.space.groups)
        model = self.maximal.clone()
        nodes = {node.get_friendly_name(): node for node in model.get_ordered_ops()}
        for cut in self._coupling.cuts:
            cut.apply(nodes[cut.node], full, units, sides)
        for padding in self._coupling.paddings:
            padding.apply(nodes[padding.node], sides)
        for number in self._coupling.numbers:
            number.apply(nodes[number.node], units)
        for slot, kept in self.space.kept(architecture).items():
            dropped = self._runs[slot][kept:]
            if dropped:  # the run's last exit is read from the first dropped block's entry
                bypass(nodes[dropped[0][0]], nodes[dropped[-1][1]])
        model.validate_nodes_and_infer_types()
        return model

    def _find_blocks(self) -> dict[str, Block]:
        nodes = {node.get_friendly_name(): node for node in self.maximal.get_ordered_ops()}
        result = {}
        for slot, run in self._runs.items():
            for position, (entry, end) in enumerate(run):
                # What hangs on the entry outside the block (its quantiser) is not reached: the walk
                # goes up from the exit and stops where it leaves the block.
                inside = {end}
                stack = [nodes[end]]
                while stack:
                    for value in stack.pop().input_values():
                        source = value.get_node()
                        name = source.get_friendly_name()
                        if name not in inside and name != entry and name in self.outputs:
                            inside.add(name)
                            stack.append(source)
                for name in inside:
                    if not self._reads_only(nodes[name], entry):
                        result[name] = Block(slot, position)
        return result

    def _reads_only(self, node: Any, entry: str) -> bool:
        """A quantiser directly at the entry serves the shortcut or the next kept block alike."""
        if node.get_type_name() != "FakeQuantize":
            return False
        return bool(node.input_value(0).get_node().get_friendly_name() == entry)


class SlicedGraphs(SlicedGraph):
    """INT8 OpenVINO models of any architecture of `network`: the graph for the largest input, and one for
    each smaller resolution. Those are quantised on their own, for a converted graph holds sizes of its maps.
    """

    def __init__(self, network: ElasticNetwork, example_input: Tensor, samples: Tensor) -> None:
        """Converts and quantises the maximal network at each resolution. Raises as `SlicedGraph`."""
        super().__init__(network, example_input, samples)
        self._smaller = {
            side: SlicedGraph(network, resized(example_input, side), resized(samples, side))
            for side in self.space.resolutions[:-1]
        }

    def at(self, architecture: Architecture) -> SlicedGraph:
        """The graph that the architecture is a slice of."""
        side = self.space.resolution(architecture)
        return self if side is None else self._smaller.get(side, self)

    def model(self, architecture: Architecture) -> ov.Model:
        """The INT8 graph of one architecture, a new model."""
        graph = self.at(architecture)
        return super().model(architecture) if graph is self else graph.model(architecture)
