from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from profiling import peak
from profiling.peak import Convolution, chain, executed_precisions, measure_peak
from profiling.target import compile_model, core

SHAPES = [Convolution(64, 7, 1), Convolution(64, 7, 3)]


@pytest.fixture(scope="module")
def quick():
    """Attempts as short as possible, of small shapes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peak, "SECONDS_EACH", 0.0)
        patch.setattr(peak, "COPY_MIB", 1)
        patch.setattr(peak, "_INT8", SHAPES)
        patch.setattr(peak, "_F32", SHAPES[:1])
        yield


def test_the_peak_is_three_figures(quick, known):
    threads = torch.get_num_threads()
    found = measure_peak({**known.target, "threads": 1})
    assert set(found) == {"int8_gops", "f32_gops", "bandwidth_gbs"}
    assert all(math.isfinite(value) and value >= 0 for value in found.values())
    assert found["f32_gops"] > 0
    assert found["bandwidth_gbs"] > 0
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_int8_chains_are_executed_in_int8(known, shape):
    if "INT8" not in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("OpenVINO's CPU plugin executes no INT8 on this CPU")
    compiled = compile_model(chain(shape, 1, is_int8=True), known.target)
    assert executed_precisions(compiled) == ["I8"] * peak.LAYERS


def test_f32_chains_are_executed_in_f32(known):
    compiled = compile_model(chain(SHAPES[1], 2, is_int8=False, layers=2), known.target)
    assert executed_precisions(compiled) == ["f32"] * 2
    assert tuple(compiled.input(0).shape) == (2, 64, 7, 7)


def test_what_is_not_executed_in_int8_has_no_int8_peak(quick, known, monkeypatch):
    monkeypatch.setattr(peak, "executed_precisions", lambda compiled: ["f32"])
    found = measure_peak(known.target)
    assert found["int8_gops"] == 0
    assert found["f32_gops"] > 0


@pytest.mark.parametrize("kernel", [1, 3])
def test_macs_are_those_of_the_weights(kernel):
    shape = Convolution(64, 7, kernel)
    ops = chain(shape, 1, is_int8=False, layers=1).get_ordered_ops()
    conv = next(op for op in ops if op.get_type_name() == "Convolution")
    weights = tuple(conv.input(1).get_shape())
    assert shape.macs(3) == 3 * math.prod(weights) * 7 * 7


def test_activations_of_a_chain_neither_vanish_nor_blow_up():
    """Zeros could be faster than a network's values."""
    compiled = core().compile_model(chain(SHAPES[1], 1, is_int8=True), "CPU")
    values = compiled(np.ones((1, 64, 7, 7), np.float32))[0]
    assert 0.05 < (values > 0).mean() < 0.95
