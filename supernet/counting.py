"""Multiply-accumulates that a space does not count: its own are of traced convolutions and linear layers."""

from __future__ import annotations

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from supernet.elastic import ElasticNetwork
from supernet.graph import Example, as_tuple

__all__ = ["uncounted_macs"]


def uncounted_macs(network: ElasticNetwork, example: Example) -> int:
    """Of one image through the largest network: what torch's own counter finds beyond `space.macs`, in
    products of two activations (attention) and in modules that could not be traced into."""
    inputs = as_tuple(example)
    counter = FlopCounterMode(display=False)
    was_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one fused operation, which the counter does not know
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            network.module(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)
    macs = int(counter.get_total_flops()) // 2 // inputs[0].shape[0]
    return macs - network.space.macs(network.space.largest)
