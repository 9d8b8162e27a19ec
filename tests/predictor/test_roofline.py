from __future__ import annotations

import dataclasses

import pytest

from predictor.roofline import FALLBACK, MIN_US, Peak, compute_us, roofline_us
from profiling.kernel import Kernel

PEAK = Peak(int8_gops=100, f32_gops=25, bandwidth_gbs=10, is_measured=True)
CONVOLUTION = Kernel("Convolution", 1, 64, 56, 56, 64, 56, 56, 3, 3, 64, 1, 1, "u8", "u8")


def test_computing_and_moving_by_hand():
    macs = 56 * 56 * 64 * 64 * 9
    assert roofline_us([CONVOLUTION], PEAK)[0] == pytest.approx(2 * macs / 100e9 * 1e6)
    f32 = dataclasses.replace(CONVOLUTION, in_precision="f32")
    assert roofline_us([f32], PEAK)[0] == pytest.approx(2 * macs / 25e9 * 1e6)
    eltwise = Kernel("Eltwise", 1, 64, 56, 56, 64, 56, 56, 1, 1, 0, 2, 1, "u8", "f32")
    n_bytes = 64 * 56 * 56 * (1 + 4 + 4)
    assert roofline_us([eltwise], PEAK)[0] == pytest.approx(n_bytes / 10e9 * 1e6)


def test_what_must_be_computed_is_a_bound_wherever_the_data_lie():
    narrow = dataclasses.replace(CONVOLUTION, in_channels=4, out_channels=4, in_per_group=4)
    slow = dataclasses.replace(PEAK, bandwidth_gbs=0.1)
    assert compute_us([narrow], slow)[0] == compute_us([narrow], PEAK)[0] < roofline_us([narrow], slow)[0]
    assert compute_us([CONVOLUTION], PEAK)[0] == roofline_us([CONVOLUTION], PEAK)[0]
    eltwise = Kernel("Eltwise", 1, 64, 56, 56, 64, 56, 56, 1, 1, 0, 2, 1, "u8", "f32")
    assert compute_us([eltwise], PEAK)[0] == MIN_US


def test_a_product_of_activations_is_counted():
    product = Kernel("MatMul", 1, 8, 197, 64, 8, 197, 197, 1, 1, 0, 2, 1, "f32", "f32")
    assert roofline_us([product], PEAK)[0] == pytest.approx(2 * 8 * 197 * 197 * 64 / 25e9 * 1e6)


def test_no_kernel_is_free():
    tiny = Kernel("Something", 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, "u8", "u8")
    assert roofline_us([tiny], PEAK)[0] == MIN_US > 0


def test_a_peak_that_was_not_measured_is_the_fallback():
    assert Peak.of({}) == Peak(**FALLBACK, is_measured=False)
    assert Peak.of({"peak": None}) == Peak(**FALLBACK, is_measured=False)
    found = {"int8_gops": 0.0, "f32_gops": 30.0, "bandwidth_gbs": 8.0}
    assert Peak.of({"peak": found}) == Peak(30.0, 30.0, 8.0, is_measured=True)


def test_one_of_several_streams_gets_its_share():
    found = {"int8_gops": 200.0, "f32_gops": 50.0, "bandwidth_gbs": 20.0}
    target = {"mode": "throughput", "threads": 4, "streams": 2, "batch": 1}
    assert Peak.of({"peak": found, "target": target}) == Peak(100.0, 25.0, 10.0, is_measured=True)
    assert Peak.of({"target": target}) == Peak(**FALLBACK, is_measured=False)
