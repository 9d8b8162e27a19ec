"""Runs some sub-networks and holds every tensor's shape against what was said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from supernet.architecture import Architecture
from supernet.elastic import Dims, ElasticNetwork
from supernet.graph import Example, as_tuple
from supernet.space import dim_size

__all__ = ["Fault", "find_fault", "next_node"]

N_RANDOM = 2


@dataclass(frozen=True)
class Fault:
    """An operation that does with narrower tensors something else than was thought."""

    node: str
    reason: str


def find_fault(
    network: ElasticNetwork, example: Example, dims: Mapping[str, Dims | list[Dims]] | None = None
) -> Fault | None:
    """The first operation at which a sub-network fails or makes a tensor of an unforeseen shape.

    The smallest sub-network is tried, and some random ones. `dims` in place of the network's own are those
    for an example of another size.
    """
    for architecture in _some(network):
        fault = _fault_of(network, architecture, example, network.dims if dims is None else dims)
        if fault is not None:
            return fault
    return None


class _UnforeseenError(Exception):
    pass


def _fault_of(
    network: ElasticNetwork,
    architecture: Architecture,
    example: Example,
    dims_of: Mapping[str, Dims | list[Dims]],
) -> Fault | None:
    units = np.array([network.space.units(architecture)])
    seen = ""

    def expected(dims: Dims) -> tuple[int, ...]:
        return tuple(int(dim_size(dim, units)[0]) for dim in dims)

    def observe(node: fx.Node, value: Any) -> None:
        nonlocal seen
        seen = node.name
        dims = dims_of.get(node.name)
        if dims is None:
            return
        shapes = [tuple(v.shape) for v in (value if isinstance(value, (list, tuple)) else [value])]
        wanted = [expected(one) for one in dims] if isinstance(dims, list) else [expected(dims)]
        if shapes != wanted:
            raise _UnforeseenError

    with torch.no_grad(), network.activated(architecture):
        try:
            network.observed(*as_tuple(example), observer=observe)
        except _UnforeseenError:
            return Fault(seen, "gives another shape when channels are left out")
        except Exception as error:
            failed = next_node(network, architecture, seen)
            said = (str(error).splitlines() or [type(error).__name__])[0]
            return Fault(failed, f"fails when channels are left out: {said}")
    return None


def next_node(network: ElasticNetwork, architecture: Architecture, seen: str) -> str:
    """The node that runs after `seen`; the first one where that is empty."""
    scheduled = network.scheduled(architecture)
    if not seen:
        return scheduled[0]
    place = scheduled.index(seen)
    return scheduled[min(place + 1, len(scheduled) - 1)]


def _some(network: ElasticNetwork) -> Iterator[Architecture]:
    space, rng = network.space, np.random.default_rng(0)
    if space.log10_size == 0:
        return
    yield space.smallest
    for _ in range(N_RANDOM):
        yield space.sample(rng)
