"""What a search can optimise, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from supernet.errors import OvnasError, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Values = Mapping[str, Floats]  # one array of shape (n,) an objective, in the objective's own unit

__all__ = ["DEFAULT", "OBJECTIVES", "Objective", "parse_objectives", "points_of"]

FEWEST, MOST = 2, 3


@dataclass(frozen=True)
class Objective:
    """`name` as the user writes it; its values are in `unit`, and made of a candidate's `figure`."""

    name: str
    unit: str
    is_maximised: bool
    figure: str


OBJECTIVES = {
    objective.name: objective
    for objective in (
        # On the validation split; for a study without data, its declared stand-in.
        Objective("accuracy", "fraction", True, "quality"),
        # Predicted, or measured where the benchmark is in the loop.
        Objective("latency", "us", False, "latency_us"),
        Objective("throughput", "samples/s", True, "latency_us"),
        Objective("macs", "MACs", False, "macs"),
        Objective("parameters", "parameters", False, "n_parameters"),
        # Of the INT8 model's weights file.
        Objective("model_size", "bytes", False, "model_bytes"),
    )
}

DEFAULT = (OBJECTIVES["accuracy"], OBJECTIVES["latency"])


def parse_objectives(names: Sequence[str]) -> tuple[Objective, ...]:
    """The objectives of these names, in their order.

    Raises OvnasError for an unknown name, one given twice, too few or too many, and for latency beside
    throughput, which are one and the same for a given number of streams.
    """
    for name in names:
        if name not in OBJECTIVES:
            raise OvnasError(f"there is no objective {name!r}{nearest(name, OBJECTIVES)}")
    if len(set(names)) != len(names):
        raise OvnasError(f"each objective may be given once, but got {','.join(names)}")
    if not FEWEST <= len(names) <= MOST:
        raise OvnasError(f"a search takes {FEWEST} or {MOST} objectives, but got {len(names)}")
    if {"latency", "throughput"} <= set(names):
        raise OvnasError("throughput is streams x batch / latency, so take one of the two as an objective")
    return tuple(OBJECTIVES[name] for name in names)


def points_of(objectives: Sequence[Objective], values: Values) -> Floats:
    """The values as points to minimise, shape (n, n_objectives)."""
    import numpy as np

    signs = [-1.0 if o.is_maximised else 1.0 for o in objectives]
    columns = [
        sign * np.asarray(values[o.name], dtype=np.float64) for o, sign in zip(objectives, signs, strict=True)
    ]
    return np.stack(columns, axis=1)
