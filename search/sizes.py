"""MACs, parameters and bytes of millions of architectures: sums over layers, tabulated as latencies are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from predictor.axes import Axis, axes_of, every_index
from predictor.compiled import CompiledPredictor
from predictor.network import Conditions
from predictor.tables import Tables
from profiling.plan import Plan
from supernet.space import Block, Dim, Layer, Space, dim_size

if TYPE_CHECKING:
    from supernet.elastic import ElasticNetwork

__all__ = ["Sizes", "Term", "compiled_sum", "macs_terms", "parameter_terms", "size_terms"]

Floats = NDArray[np.float64]
# The quantised model keeps a byte a weight, and 32 bits of scale and of bias an output channel.
_BYTES_PER_WEIGHT, _BYTES_PER_CHANNEL = 1, 8


@dataclass(frozen=True)
class Term:
    """`factor` x the product of `dims`' sizes, while `block` is kept; x the area of the `kernel`, cropped to
    what `kernel_slot` chooses; x the output pixels of the layer `moved`, if there is one, at the chosen
    resolution."""

    factor: float
    dims: tuple[Dim, ...]
    block: Block | None
    kernel: tuple[int, int] = (1, 1)
    kernel_slot: int | None = None
    moved: Layer | None = None


@dataclass(frozen=True)
class Sizes:
    """Compiled sums over one space. `parameters` are those of the super-network's layers; `model_size` is
    an estimate of the INT8 weights file."""

    macs: CompiledPredictor
    parameters: CompiledPredictor
    model_size: CompiledPredictor

    @classmethod
    def of_space(cls, space: Space) -> Sizes:
        """Without a network at hand: parameters are the layers' weights only."""
        terms = (macs_terms(space), _weight_terms(space), size_terms(space))
        return cls(*(compiled_sum(space, t) for t in terms))

    @classmethod
    def of_network(cls, network: ElasticNetwork) -> Sizes:
        """Exact parameters, BatchNorm's and biases too."""
        space = network.space
        terms = (macs_terms(space), parameter_terms(network), size_terms(space))
        return cls(*(compiled_sum(space, t) for t in terms))


def macs_terms(space: Space) -> list[Term]:
    """Multiply-accumulates of an image."""
    return [replace(t, moved=layer) for layer, t in zip(space.layers, _weight_terms(space), strict=True)]


def size_terms(space: Space) -> list[Term]:
    """Bytes of the INT8 weights file."""
    weights = [replace(t, factor=_BYTES_PER_WEIGHT * t.factor) for t in _weight_terms(space)]
    channels = [Term(_BYTES_PER_CHANNEL, (layer.outputs,), layer.block) for layer in space.layers]
    return weights + channels


def _weight_terms(space: Space) -> list[Term]:
    """Weights of each layer, in the space's order."""
    result = []
    for layer in space.layers:
        dims = (layer.inputs, layer.outputs) if layer.in_per_group is None else (layer.outputs,)
        factor = float(layer.in_per_group or 1)
        result.append(Term(factor, dims, layer.block, layer.kernel, layer.kernel_slot))
    return result


def parameter_terms(network: ElasticNetwork) -> list[Term]:
    """Every parameter of the network; one that several names share counts once."""
    block_of: dict[str, Block] = {}
    for node in network.module.graph.nodes:
        if node.op != "call_module":
            continue
        for slot, run in network.runs.items():
            for position, residual in enumerate(run):
                if node.name in residual.nodes:
                    block_of[str(node.target)] = Block(slot, position)
    result = []
    for name, value in network.module.named_parameters():
        dims = network.parameter_dims.get(name)
        path = name.rpartition(".")[0]
        block = block_of.get(path)
        if dims is None:
            result.append(Term(float(value.numel()), (), block))
        elif path in network.kernels and len(dims) > 1:
            sides = (value.shape[2], math.prod(value.shape[3:]))
            result.append(Term(1.0, dims[:2], block, sides, network.kernels[path]))
        else:
            result.append(Term(1.0, dims, block))
    return result


def compiled_sum(space: Space, terms: Sequence[Term]) -> CompiledPredictor:
    """The sum of the terms, as fast as a compiled predictor."""
    parts = tuple(_table(space, term) for term in terms)
    plan = Plan(space, ())
    return CompiledPredictor(plan, _Summed(Tables(0.0, parts)), Conditions(1, 1, 1, 1, 1))


class _Summed:
    """What a compiled predictor asks of a predictor: its tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def tables(self, plan: Plan, conditions: Any) -> Tables:
        return self._tables


def _table(space: Space, term: Term) -> tuple[tuple[Axis, ...], Floats]:
    block = None if term.block is None else term.block.slot
    side = None if term.moved is None else space.resolution_slot
    axes = axes_of(space, term.dims, (block, term.kernel_slot, side))
    codes = every_index(space, axes)
    sizes = space.group_sizes(codes)
    value = term.factor * space.alive(term.block, codes).astype(np.float64)
    value *= space.kernel_sides(term.kernel, term.kernel_slot, codes).prod(axis=1)
    if term.moved is not None:
        value *= space.positions(term.moved, codes)
    for dim in term.dims:
        value = value * dim_size(dim, sizes)
    return axes, value.reshape([axis.size for axis in axes])
