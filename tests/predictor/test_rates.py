from __future__ import annotations

import json

import numpy as np
import pytest

from predictor.features import feature_matrix
from predictor.network import Conditions
from predictor.rates import LEAST_US, Rates
from profiling.kernel import Kernel

CONDITIONS = Conditions(1, 1, 2**15, 2**20, 2**25)


def convolution(channels: int, size: int, area: int = 1) -> Kernel:
    return Kernel(
        "Convolution", 1, channels, size, size, channels, size, size, area, area, channels, 1, 1, "u8", "u8"
    )  # fmt: skip


def test_a_law_of_work_and_traffic_is_extrapolated():
    """Learned up to 128 channels, asked for 1024."""
    kernels = [convolution(c, s) for c in (16, 32, 64, 128) for s in (7, 14, 28)]
    features = feature_matrix(kernels, CONDITIONS)

    def law(k):
        return 0.5 + 2e-6 * k.macs + 1e-4 * k.in_channels * k.in_height * k.in_width

    found = Rates().fit(features, np.array([law(k) for k in kernels]), np.ones(len(kernels)))
    far = convolution(1024, 56)
    (predicted,) = found.predict(feature_matrix([far], CONDITIONS))
    assert predicted == pytest.approx(law(far), rel=0.02)


def test_classes_have_rates_of_their_own():
    kernels = [convolution(c, 14, a) for c in (16, 32, 64, 128) for a in (1, 3)]
    features = feature_matrix(kernels, CONDITIONS)
    times = np.array([k.macs * (1e-6 if k.kernel_height == 1 else 5e-6) for k in kernels])
    found = Rates().fit(features, times, np.ones(len(kernels)))
    np.testing.assert_allclose(found.predict(features), np.maximum(times, LEAST_US), rtol=1e-6)


def test_round_trip_and_a_class_never_seen():
    kernels = [convolution(c, 14) for c in (16, 32, 64)]
    features = feature_matrix(kernels, CONDITIONS)
    found = Rates().fit(features, np.array([3.0, 5, 9]), np.ones(3))
    again = Rates.from_json(json.loads(json.dumps(found.to_json())))
    np.testing.assert_array_equal(again.predict(features), found.predict(features))
    pooling = Kernel("Pooling", 1, 64, 14, 14, 64, 7, 7, 1, 1, 0, 1, 1, "u8", "u8")
    assert found.predict(feature_matrix([pooling], CONDITIONS))[0] >= LEAST_US
