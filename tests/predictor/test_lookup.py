from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from predictor.lookup import LookupPredictor, MeanOrNearest


def test_the_mean_of_equal_rows_or_the_nearest():
    table = MeanOrNearest().fit([[0, 0], [0, 0], [4, 0]], [1, 3, 10], sample_weight=[1, 3, 1])
    np.testing.assert_allclose(table.predict([[0, 0], [4, 0], [3, 1], [1, 9]]), [2.5, 10, 10, 2.5])


def test_a_kernel_costs_its_mean(data, known):
    predictor = data.fit(LookupPredictor(), data.train)
    kernels = known.plan.of(data.train[0].record.architecture)
    truth = [known.kernel_us(k) for k in kernels]
    assert predictor.kernel_latency_us(kernels, data.conditions) == pytest.approx(truth, rel=1e-4)


def test_one_never_seen_is_scaled_by_its_work(data, known):
    """A kernel of 100 times the pixels costs 100 times its nearest's."""
    predictor = data.fit(LookupPredictor(), data.train)
    kernel = next(k.kernel for k in known.plan.kernels if k.kernel.macs > 0)
    large = dataclasses.replace(kernel, out_height=10 * kernel.out_height, out_width=10 * kernel.out_width)
    (found,) = predictor.kernel_latency_us([large], data.conditions)
    assert found == pytest.approx(known.kernel_us(large), rel=0.01)
