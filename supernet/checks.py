"""Proves a super-network against the model that it came from, and its sub-networks against each other."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from supernet.architecture import Architecture
from supernet.elastic import ElasticNetwork
from supernet.errors import OvnasError
from supernet.graph import Example, as_tuple
from supernet.int8 import to_openvino
from supernet.resized import images_of

__all__ = ["TOLERANCE", "Checks", "check", "counted_macs"]

# Of the largest value of an output, or of 1 where that is smaller.
TOLERANCE = 1e-5
# Sums in another order, through all layers of a deep network: rounding, where a mistake changes everything.
SHUFFLED_TOLERANCE = 1e-3
OPENVINO_TOLERANCE = 1e-3
N_LEAST = 4


@dataclass(frozen=True)
class Checks:
    """What was found. Errors are relative to the output's largest value; `openvino_error` is None where
    conversion was left out. `faults` say in words what does not hold."""

    n_architectures: int
    largest_error: float
    shuffled_error: float
    extracted_error: float
    openvino_error: float | None
    seconds: float
    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything holds."""
        return not self.faults


def check(
    network: ElasticNetwork,
    expected: Any,
    example: Example,
    *,
    n: int = 10,
    seed: int = 0,
    openvino: bool = True,
    time_limit_s: float = math.inf,
) -> Checks:
    """Holds `network`, the smallest and `n` random architectures of it against what must be true.

    `expected` is the model's own output on `example`. The largest architecture gives it, also after each
    free group's channels were put in another order (which `network` keeps: every tensor that holds them
    is known); an extracted module gives what the activated network does, as many MACs as the space says
    (counted by hooks), and, in OpenVINO, the same output. After `time_limit_s` no further architecture is
    begun, but there are at least the smallest and three random ones.
    """
    start = time.perf_counter()
    inputs, faults = as_tuple(example), []
    wanted = _flat(expected)
    with torch.no_grad():
        largest = _difference(_flat(network(*inputs)), wanted)
        network.shuffle_channels(torch.Generator().manual_seed(seed))
        shuffled = _difference(_flat(network(*inputs)), wanted)
    if not largest <= TOLERANCE:
        faults.append(f"the largest architecture differs from the model by {largest:.1e}")
    if not shuffled <= SHUFFLED_TOLERANCE:
        faults.append(f"another order of channels changes the output by {shuffled:.1e}")
    extracted, converted, n_done = 0.0, 0.0, 0
    for architecture in _chosen(network, n, seed):
        if n_done >= N_LEAST and time.perf_counter() - start > time_limit_s:
            break
        error, other, said = _check_one(network, architecture, example, openvino=openvino)
        extracted, converted = max(extracted, error), max(converted, other)
        faults += [f"{architecture}: {text}" for text in said]
        n_done += 1
    return Checks(
        n_done,
        largest,
        shuffled,
        extracted,
        converted if openvino else None,
        time.perf_counter() - start,
        tuple(faults),
    )


def counted_macs(module: fx.GraphModule, inputs: Sequence[Tensor]) -> tuple[Any, int]:
    """The module's output, and its multiply-accumulates of one image, by hooks on the convolutions and linear
    layers that really run."""
    total = 0

    def count(layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        moved = arguments[0] if isinstance(layer, _TRANSPOSED) else output
        weight = layer.weight
        assert isinstance(weight, Tensor)
        total += moved.numel() // inputs[0].shape[0] * weight[0].numel()

    parts = dict(module.named_modules())
    called = {str(node.target) for node in module.graph.nodes if node.op == "call_module"}
    handles = [parts[path].register_forward_hook(count) for path in called if type(parts[path]) in _WITH_MACS]
    try:
        with torch.no_grad():
            output = module(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return output, total


def _chosen(network: ElasticNetwork, n: int, seed: int) -> list[Architecture]:
    """The smallest and `n` random ones; in a space of few, each only once."""
    rng = np.random.default_rng(seed)
    wanted = [network.space.smallest, *(network.space.sample(rng) for _ in range(n))]
    return list(dict.fromkeys(wanted))


def _check_one(
    network: ElasticNetwork, architecture: Architecture, example: Example, *, openvino: bool
) -> tuple[float, float, list[str]]:
    """Errors of extraction and of conversion, and what does not hold."""
    faults = []
    try:
        with torch.no_grad(), network.activated(architecture):
            wanted = _flat(network(*as_tuple(example)))
        module = network.extract(architecture)
        inputs = tuple(images_of(network.space, architecture, x) for x in as_tuple(example))
        output, counted = counted_macs(module, inputs)
        extracted = _difference(_flat(output), wanted)
    except Exception as error:
        return math.inf, math.inf, [f"does not run: {' '.join(str(error).split())}"]
    if not extracted <= TOLERANCE:
        faults.append(f"extracted and activated differ by {extracted:.1e}")
    macs = network.space.macs(architecture)
    if macs != counted:
        faults.append(f"the space says {macs} MACs, but {counted} were counted")
    if not openvino:
        return extracted, 0.0, faults
    try:
        converted = _difference(_run_openvino(module, inputs), wanted)
    except OvnasError as error:
        return extracted, math.inf, [*faults, str(error)]
    if not converted <= OPENVINO_TOLERANCE:
        faults.append(f"OpenVINO's output differs by {converted:.1e}")
    return extracted, converted, faults


def _run_openvino(module: fx.GraphModule, example: Example) -> list[Tensor]:
    import openvino as ov

    model = to_openvino(module, example)
    config = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.Core().compile_model(model, "CPU", config)
    result = compiled([x.numpy() for x in as_tuple(example)])
    return [torch.from_numpy(np.array(result[i])) for i in range(len(compiled.outputs))]


def _flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for item in value for tensor in _flat(item)] if isinstance(value, (list, tuple)) else []


def _difference(actual: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest absolute difference over the largest value, or over 1; infinite where shapes differ."""
    if [a.shape for a in actual] != [e.shape for e in expected]:
        return math.inf
    worst = 0.0
    for a, e in zip(actual, expected, strict=True):
        if e.numel() == 0:
            continue
        error = float((a - e).abs().max()) / max(1.0, float(e.abs().max()))
        worst = error if math.isnan(error) else max(worst, error)
    return worst


_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_WITH_MACS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, *_TRANSPOSED)
