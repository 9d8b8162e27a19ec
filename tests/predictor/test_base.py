from __future__ import annotations

import numpy as np
import pytest

from predictor.base import sums_to_latency

TIMES = np.array([1.0, 2, 3, 4, 5, 6])
NETWORK = np.array([0, 0, 1, 1, 2, 2])
SUMS = np.array([3.0, 7, 11])


def test_the_fixed_cost_and_what_the_counters_miss():
    assert sums_to_latency(TIMES, NETWORK, 5 + 1.3 * SUMS) == pytest.approx((5, 1.3))
    assert sums_to_latency(TIMES, NETWORK, 1.3 * SUMS) == pytest.approx((0, 1.3), abs=1e-9)


def test_kernels_never_cost_nothing():
    """Latencies that fall while the kernels' sums rise would be a fixed cost alone."""
    latency = np.array([12.0, 11, 10])
    overhead, scale = sums_to_latency(TIMES, NETWORK, latency)
    assert overhead == 0
    errors = [np.square(s * SUMS / latency - 1).sum() for s in (scale, 0.99 * scale, 1.01 * scale)]
    assert errors[0] == min(errors)
