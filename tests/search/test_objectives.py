from __future__ import annotations

import numpy as np
import pytest

from search.objectives import OBJECTIVES, parse_objectives, points_of
from supernet import OvnasError


def test_names():
    assert list(OBJECTIVES) == ["accuracy", "latency", "throughput", "macs", "parameters", "model_size"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["accuracy"], "takes 2 or 3 objectives, but got 1"),
        (["accuracy", "latency", "macs", "parameters"], "but got 4"),
        (["accuracy", "accuracy"], "may be given once"),
        (["accuracy", "latancy"], r"did you mean 'latency'\?"),
        (["latency", "throughput"], "take one of the two"),
    ],
)
def test_refused(names, message):
    with pytest.raises(OvnasError, match=message):
        parse_objectives(names)


def test_points_are_minimised_in_the_order_given():
    chosen = parse_objectives(["throughput", "accuracy", "macs"])
    values = {
        "accuracy": np.array([0.5, 0.75]),
        "macs": np.array([10.0, 20.0]),
        "throughput": np.array([3.0, 4.0]),
    }
    np.testing.assert_array_equal(points_of(chosen, values), [[-3, -0.5, 10], [-4, -0.75, 20]])
