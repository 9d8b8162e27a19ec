"""Which smaller inputs a super-network bears: found by running it on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from supernet.channels import fixed
from supernet.elastic import Dims, ElasticNetwork
from supernet.errors import OvnasError
from supernet.graph import Example, as_tuple, shape_of
from supernet.pixels import resized
from supernet.proof import Fault, find_fault, next_node

__all__ = ["Resolutions", "find_resolutions"]

Shapes = Mapping[str, Any]
OUTPUT = "output"  # torch.fx names that node so


@dataclass(frozen=True)
class Resolutions:
    """`shapes` has every tensor's shape in the largest sub-network by the side of the input in px, ascending,
    the model's own last. `faults` are the operations that do not bear another side."""

    shapes: Mapping[int, Shapes]
    faults: Mapping[int, Fault]


def find_resolutions(network: ElasticNetwork, example: Example, wanted: Iterable[int]) -> Resolutions:
    """The sides of `wanted` at which the largest, the smallest and some random sub-networks run, and give
    an output of the same shape; `network` itself has no resolutions to choose yet.

    Raises OvnasError if the model has another input than one square image of at least that size.
    """
    inputs, sides = as_tuple(example), sorted(set(wanted))
    if len(inputs) != 1 or inputs[0].ndim != 4 or inputs[0].shape[2] != inputs[0].shape[3]:
        shapes = [tuple(x.shape) for x in inputs]
        raise OvnasError(f"[space] resolution is for models of one square image, but its inputs are {shapes}")
    own = inputs[0].shape[2]
    if sides[0] < 1 or sides[-1] > own:
        raise OvnasError(f"[space] resolution must be within 1 and the model's own {own} px, but got {sides}")
    whole = _run(network, inputs[0])
    assert not isinstance(whole, Fault)
    tried = {side: _tried(network, whole, resized(inputs[0], side)) for side in sides if side != own}
    shapes_of = {side: found for side, found in tried.items() if not isinstance(found, Fault)}
    faults = {side: found for side, found in tried.items() if isinstance(found, Fault)}
    return Resolutions({**shapes_of, own: whole}, faults)


def _tried(network: ElasticNetwork, whole: Shapes, images: Tensor) -> Shapes | Fault:
    """The shapes for smaller images, or what does not bear them; `whole` are those for the model's own."""
    shapes = _run(network, images)
    if isinstance(shapes, Fault):
        return shapes
    dims = _dims(network, whole, shapes)
    return dims if isinstance(dims, Fault) else find_fault(network, images, dims) or shapes


def _run(network: ElasticNetwork, images: Tensor) -> Shapes | Fault:
    """Shapes of the values of all nodes, the output too, in the largest sub-network."""
    shapes: dict[str, Any] = {}
    seen = ""

    def observe(node: fx.Node, value: Any) -> None:
        nonlocal seen
        seen, shapes[node.name] = node.name, shape_of(value)

    with torch.no_grad():
        try:
            output = network.observed(images, observer=observe)
        except Exception as error:
            failed = next_node(network, network.space.largest, seen)
            return Fault(failed, f"fails: {str(error).splitlines()[0]}")
    values = list(output.values()) if isinstance(output, dict) else output
    return {**shapes, OUTPUT: shape_of(values)}


def _dims(network: ElasticNetwork, whole: Shapes, smaller: Shapes) -> dict[str, Dims | list[Dims]] | Fault:
    """The network's dimensions for the smaller input: those of channels that can be chosen stay."""
    if smaller[OUTPUT] is None or smaller[OUTPUT] != whole[OUTPUT]:
        return Fault(OUTPUT, f"would have the shape {smaller[OUTPUT]}, not {whole[OUTPUT]}")
    for name, shape in smaller.items():
        if _form(shape) != _form(whole[name]):
            return Fault(name, "gives other tensors")

    def resized_dims(dims: Dims, shape: tuple[int, ...]) -> Dims:
        both = zip(dims, shape, strict=True)
        return tuple(dim if network.space.is_free(dim) else fixed(n) for dim, n in both)

    return {
        name: [resized_dims(one, own) for one, own in zip(dims, smaller[name], strict=True)]
        if isinstance(dims, list)
        else resized_dims(dims, smaller[name])
        for name, dims in network.dims.items()
        if name in smaller and name != OUTPUT
    }


def _form(shape: Any) -> Any:
    """How many tensors, and of how many dimensions."""
    return [len(one) for one in shape] if isinstance(shape, list) else None if shape is None else len(shape)
