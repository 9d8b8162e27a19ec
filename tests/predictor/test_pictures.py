from __future__ import annotations

import numpy as np
import pytest

from predictor import pictures
from predictor.evaluation import Evaluation


@pytest.fixture
def evaluation() -> Evaluation:
    return Evaluation(
        name="xgb",
        measured=np.array([1000.0, 2000, 4000]),
        predicted=np.array([1010.0, 1900, 4000]),
        kernel_measured=np.array([10.0, 30, 60]),
        kernel_predicted=np.array([11.0, 30, 54]),
        kernel_kinds=("Pooling", "Convolution", "Convolution"),
        architectures_per_s=1e6,
    )


def test_a_point_a_network_named_on_hover(evaluation):
    figure = pictures.predicted_against_measured([evaluation], ["a", "b", "c"])
    (axes,) = figure.axes
    points = [line for line in axes.lines if (line.get_gid() or "").startswith("tip:")]
    assert [(p.get_xdata()[0], p.get_ydata()[0]) for p in points] == [(1, 1.01), (2, 1.9), (4, 4)]
    assert bytes.fromhex(points[1].get_gid()[4:]).decode() == "b\nmeasured 2.000 ms, xgb 1.900 ms (-5.0%)"


def test_the_share_of_networks_within_an_error(evaluation):
    (axes,) = pictures.error_distribution([evaluation], 0.02).axes
    curve, ceiling = axes.lines
    np.testing.assert_allclose(curve.get_xdata(), [0, 0, 1, 5], atol=1e-9)
    np.testing.assert_allclose(curve.get_ydata(), [0, 100 / 3, 200 / 3, 100])
    assert set(ceiling.get_xdata()) == {2}
    assert len(pictures.error_distribution([evaluation], None).axes[0].lines) == 1


def test_kinds_by_their_share_of_the_time(evaluation):
    left, right = pictures.kernel_errors(evaluation).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["Convolution", "Pooling"]
    assert [bar.get_width() for bar in left.patches] == pytest.approx([90, 10])
    assert [bar.get_width() for bar in right.patches] == pytest.approx([100 * 6 / 90, 10])


def test_the_features_that_decide_most():
    importance = {f"f{i}": 1 / 2**i for i in range(20)}
    (axes,) = pictures.importance_bars(importance, 3).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["f0", "f1", "f2"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([100, 50, 25])
