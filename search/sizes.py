"""MACs, parameters and bytes of millions of architectures: sums over layers, tabulated as latencies are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from predictor.compiled import CompiledPredictor
from predictor.network import Conditions
from predictor.tables import Tables
from profiling.plan import Plan
from supernet.space import Block, Dim, Space, dim_size

if TYPE_CHECKING:
    from supernet.elastic import ElasticNetwork

__all__ = ["Sizes", "Term", "compiled_sum", "macs_terms", "parameter_terms", "size_terms"]

Floats = NDArray[np.float64]
# The quantised model keeps a byte a weight, and 32 bits of scale and of bias an output channel.
_BYTES_PER_WEIGHT, _BYTES_PER_CHANNEL = 1, 8


@dataclass(frozen=True)
class Term:
    """`factor` x the product of `dims`' sizes, while `block` is kept."""

    factor: float
    dims: tuple[Dim, ...]
    block: Block | None


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
        weights = [Term(t.factor, t.dims, t.block) for t in _weight_terms(space)]
        return cls(*(compiled_sum(space, t) for t in (macs_terms(space), weights, size_terms(space))))

    @classmethod
    def of_network(cls, network: ElasticNetwork) -> Sizes:
        """Exact parameters, BatchNorm's and biases too."""
        space = network.space
        terms = (macs_terms(space), parameter_terms(network), size_terms(space))
        return cls(*(compiled_sum(space, t) for t in terms))


def macs_terms(space: Space) -> list[Term]:
    """Multiply-accumulates of an image."""
    positions = {layer.name: layer.n_positions for layer in space.layers}
    names = [layer.name for layer in space.layers]
    return [
        Term(t.factor * positions[name], t.dims, t.block)
        for name, t in zip(names, _weight_terms(space), strict=True)
    ]


def size_terms(space: Space) -> list[Term]:
    """Bytes of the INT8 weights file."""
    weights = [Term(_BYTES_PER_WEIGHT * t.factor, t.dims, t.block) for t in _weight_terms(space)]
    channels = [Term(_BYTES_PER_CHANNEL, (layer.outputs,), layer.block) for layer in space.layers]
    return weights + channels


def _weight_terms(space: Space) -> list[Term]:
    """Weights of each layer, in the space's order."""
    result = []
    for layer in space.layers:
        area = float(layer.kernel[0] * layer.kernel[1])
        if layer.in_per_group is None:
            result.append(Term(area, (layer.inputs, layer.outputs), layer.block))
        else:
            result.append(Term(area * layer.in_per_group, (layer.outputs,), layer.block))
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
        block = block_of.get(name.rpartition(".")[0])
        if dims is None:
            result.append(Term(float(value.numel()), (), block))
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


def _table(space: Space, term: Term) -> tuple[tuple[int, ...], Floats]:
    slots = _slots_of(space, term)
    shape = [len(space.slots[slot].choices) for slot in slots]
    codes = np.zeros((int(np.prod(shape)), len(space.slots)), dtype=np.int64)
    if slots:
        codes[:, list(slots)] = list(itertools.product(*map(range, shape)))
    sizes = space.group_sizes(codes)
    value = term.factor * space.alive(term.block, codes).astype(np.float64)
    for dim in term.dims:
        value = value * dim_size(dim, sizes)
    return slots, value.reshape(shape)


def _slots_of(space: Space, term: Term) -> tuple[int, ...]:
    slots: set[int] = set() if term.block is None else {term.block.slot}
    pending = [segment.group for dim in term.dims for segment in dim]
    while pending:
        index = pending.pop()
        if index is not None:
            group = space.groups[index]
            slots |= set() if group.slot is None else {group.slot}
            pending.append(group.parent)
    return tuple(sorted(slots))
