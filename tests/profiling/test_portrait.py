from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from profiling.kernel import Kernel
from profiling.portrait import FAMILIES, _shape, family_of, make_portrait
from profiling.store import Store
from profiling.timing import Round

PEAK = {"int8_gops": 0.4, "f32_gops": 0.1, "bandwidth_gbs": 10.0}
CONV = Kernel("Convolution", 1, 64, 28, 28, 128, 14, 14, 3, 3, 64, 1, 2, "u8", "u8")


@pytest.fixture(scope="module")
def store(known, tmp_path_factory):
    path = known.write(tmp_path_factory.mktemp("store") / "m.sqlite", 4, 2)
    with Store.open(path) as opened:
        yield opened


@pytest.fixture
def portrait(store):
    return make_portrait(store.records()[0], store.networks()[0], PEAK)


def test_times_and_shares_sum_to_the_network(portrait):
    assert sum(k.time_us for k in portrait.kernels) + portrait.overhead_us == pytest.approx(
        portrait.latency_us
    )
    assert sum(k.share for k in portrait.kernels) == pytest.approx(
        1 - portrait.overhead_us / portrait.latency_us
    )


def test_kernels_are_held_against_the_law_of_the_machine(known, store, portrait):
    """A kernel costs 1e-4 us a MAC: 20 GOP/s whatever its shape."""
    record = store.records()[0]
    assert [k.layer for k in portrait.kernels] == [k.layer for k in record.kernels]
    for kernel in portrait.kernels:
        if kernel.macs:
            assert kernel.gops == pytest.approx(20.0, rel=1e-4)
            assert kernel.peak_share == pytest.approx(20.0 / PEAK["f32_gops"], rel=1e-4)  # executed as "jit"
            assert kernel.intensity == pytest.approx(2 * kernel.macs / kernel.bytes_moved)
        else:
            assert (kernel.gops, kernel.peak_share) == (0, None)
    assert portrait.macs == sum(k.macs for k in known.plan.of(record.architecture))
    assert portrait.gops == pytest.approx(2e-3 * portrait.macs / known.latency_us(record.architecture))
    assert portrait.peak_share == pytest.approx(portrait.gops / PEAK["int8_gops"])
    assert portrait.counters_difference == pytest.approx(0.3, rel=1e-4)
    assert portrait.unexplained_us == record.unexplained_us


def test_int8_kernels_are_held_against_the_int8_peak(store):
    record, raw = store.records()[0], store.networks()[0]
    as_int8 = tuple(dataclasses.replace(k, exec_type="brgconv_avx512_I8") for k in record.kernels)
    found = make_portrait(dataclasses.replace(record, kernels=as_int8), raw, PEAK)
    shares = [k.peak_share for k in found.kernels if k.macs]
    assert shares == pytest.approx([20.0 / PEAK["int8_gops"]] * len(shares), rel=1e-4)


@pytest.mark.parametrize("peak", [None, {"int8_gops": 0.0, "f32_gops": 0.0, "bandwidth_gbs": 1.0}])
def test_an_unknown_peak_is_none(store, peak):
    found = make_portrait(store.records()[3], store.networks()[3], peak)
    assert found.peak_share is None
    assert all(k.peak_share is None for k in found.kernels)
    assert found.repeat_us is None  # only two networks were repeated
    assert json.loads(json.dumps(found.to_json()))["repeat_us"] is None


def test_rounds_are_those_of_both_processes(portrait):
    ratios = [r.ratio for r in portrait.collected]
    assert ratios == pytest.approx([portrait.anchor_ratio] * 5, rel=1e-5)
    assert [r.ratio for r in portrait.repeated] == pytest.approx([1.01 * r for r in ratios], rel=1e-5)


def test_flags_are_kept(store):
    samples = np.array([2.0, 2.0, 5.0], np.float32)
    one = np.ones(3, np.float32)
    rounds = tuple(Round(samples, one, one, 0.5, flag) for flag in (False, True, False))
    raw = dataclasses.replace(store.networks()[0], rounds=rounds, repeats=())
    found = make_portrait(store.records()[0], raw, None)
    assert [(r.ratio, r.is_flagged) for r in found.collected] == [(2.0, False), (2.0, True), (2.0, False)]
    found = make_portrait(store.records()[0], raw, None, level=lambda s: float(np.mean(s)))
    assert [r.ratio for r in found.collected] == [3.0] * 3


def test_busy_streams_count_together(store, portrait):
    """In throughput mode a latency is the time that an inference holds one of the streams."""
    both = make_portrait(store.records()[0], store.networks()[0], PEAK, busy_streams=2)
    assert both.gops == pytest.approx(2 * portrait.gops)
    assert both.latency_us == portrait.latency_us
    assert [k.gops for k in both.kernels] == pytest.approx([2 * k.gops for k in portrait.kernels])


@pytest.mark.parametrize(
    ("change", "family", "n_bytes"),
    [
        ({}, "larger convolution", 64 * 784 + 128 * 64 * 9 + 128 * 196),
        ({"n_inputs": 2}, "larger convolution", 64 * 784 + 128 * 64 * 9 + 2 * 128 * 196),
        ({"out_precision": "f32"}, "larger convolution", 64 * 784 + 128 * 64 * 9 + 4 * 128 * 196),
        ({"kernel_height": 1, "kernel_width": 1}, "1x1 convolution", 64 * 784 + 128 * 64 + 128 * 196),
        ({"in_per_group": 1}, "grouped convolution", 64 * 784 + 128 * 9 + 128 * 196),
        ({"kind": "FullyConnected"}, "linear", 64 * 784 + 128 * 64 * 9 + 128 * 196),
        ({"kind": "Pooling", "in_per_group": 0}, "pooling", 64 * 784 + 128 * 196),
        ({"kind": "Reorder", "in_per_group": 0, "in_precision": "f32"}, "other", 4 * 64 * 784 + 128 * 196),
        (
            {"kind": "Concatenation", "in_per_group": 0, "out_channels": 96, "out_height": 28,
             "out_width": 28, "n_inputs": 2},
            "other",
            2 * 96 * 784,
        ),
    ],
)  # fmt: skip
def test_family_and_least_bytes(change, family, n_bytes):
    kernel = dataclasses.replace(CONV, **change)
    assert family_of(kernel) == family
    assert family in FAMILIES
    assert kernel.bytes_moved == n_bytes


def test_a_portrait_is_json(portrait):
    value = portrait.to_json()
    assert json.loads(json.dumps(value))["kernels"][0]["layer"] == portrait.kernels[0].layer
    assert not math.isnan(value["latency_us"])


@pytest.mark.parametrize(
    ("shape", "text"), [((64, 56, 56), "64x56²"), ((64, 56, 28), "64x56x28"), ((64, 1, 1), "64")]
)
def test_shapes_are_short(shape, text):
    assert _shape(*shape) == text
