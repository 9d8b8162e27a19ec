"""Which layers save the time: the kernels of the baseline and of the finalists, as they are predicted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from predictor.base import KernelPredictor
from predictor.saved import SavedPredictor
from profiling.kernel import Kernel
from profiling.plan import Plan
from profiling.portrait import short_kind
from supernet.architecture import Architecture

__all__ = ["layers_of", "layers_of_plan"]


def layers_of(predictor: SavedPredictor, study: str, architectures: Sequence[Architecture]) -> dict[str, Any]:
    """The kernels of a study's baseline (the largest architecture) and of each of `architectures`, a JSON
    value for search.json's "layers" (see `search.outcome.LayerTime`).

    A network's latencies and "overhead_us", the fixed cost of an inference, sum to what is predicted for it.
    Latencies are None where the predictor knows no kernels.
    """
    kind = predictor.predictor
    if not isinstance(kind, KernelPredictor):
        return layers_of_plan(predictor.plan_of(study), architectures)
    plan = predictor.plan_of(study)
    kernels = {k for a in (plan.space.largest, *architectures) for k in plan.of(a)}
    ordered = sorted(kernels, key=str)
    latency = kind.kernel_latency_us(ordered, predictor.conditions)
    times = {kernel: float(us) for kernel, us in zip(ordered, latency, strict=True)}
    return {**layers_of_plan(plan, architectures, times), "overhead_us": float(kind.overhead_us_)}


def layers_of_plan(
    plan: Plan, architectures: Sequence[Architecture], kernel_us: dict[Kernel, float] | None = None
) -> dict[str, Any]:
    """As `layers_of` without a predictor: the shapes alone, or with the given times."""
    known = kernel_us or {}
    return {
        "baseline": _layers(plan, plan.space.largest, known),
        "finalists": [_layers(plan, architecture, known) for architecture in architectures],
        "overhead_us": None,
    }


def _layers(plan: Plan, architecture: Architecture, kernel_us: dict[Kernel, float]) -> list[dict[str, Any]]:
    codes = np.array([plan.space.encode(architecture)])
    alive = [i for i, k in enumerate(plan.kernels) if plan.alive(k, codes)[0]]
    places = _places(plan)
    return [
        {
            "index": places[i],
            "layer": plan.kernels[i].layer,
            "kernel": short_kind(kernel),
            "latency_us": kernel_us.get(kernel),
            "macs": kernel.macs,
            "in_channels": kernel.in_channels,
            "out_channels": kernel.out_channels,
        }
        for i, kernel in zip(alive, plan.of(architecture), strict=True)
    ]


def _places(plan: Plan) -> list[int]:
    """Where in the maximal network each of the plan's kernels is: at a smaller resolution the kernel of the
    same layer and kind, and behind the last one what is executed at that resolution only."""
    seen: Counter[tuple[int | None, str, str]] = Counter()
    names = []
    for k in plan.kernels:
        key = (k.resolution, k.layer, k.kernel.kind)
        names.append((k.layer, k.kernel.kind, seen[key]))
        seen[key] += 1
    largest = max(plan.space.resolutions, default=None)
    place: dict[tuple[str, str, int], int] = {}
    for k, name in zip(plan.kernels, names, strict=True):
        if k.resolution == largest:
            place.setdefault(name, len(place))
    return [place.setdefault(name, len(place)) for name in names]
