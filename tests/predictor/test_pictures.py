from __future__ import annotations

import numpy as np
import pytest

from predictor import pictures
from predictor.evaluation import Evaluation
from predictor.judgement import judge
from predictor.learning_curve import Point


@pytest.fixture
def evaluation() -> Evaluation:
    return Evaluation(
        name="xgb",
        measured=np.array([1000.0, 2000, 4000]),
        predicted=np.array([1010.0, 1900, 4000]),
        low=np.array([1010.0, 1900, 4000]) / 1.04,
        high=np.array([1010.0, 1900, 4000]) * 1.04,
        kernel_measured=np.array([10.0, 30, 60]),
        kernel_predicted=np.array([11.0, 30, 54]),
        kernel_layers=("a", "b", "c"),
        kernel_kinds=("Pooling", "Convolution", "Convolution"),
        kernel_networks=np.arange(3),
        overhead=0.0,
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


def tips(axes) -> list[str]:
    marks = [line for line in axes.lines if (line.get_gid() or "").startswith("tip:")]
    return [bytes.fromhex(mark.get_gid()[4:]).decode() for mark in marks]


def test_errors_over_latency_with_the_interval_behind(evaluation):
    (axes,) = pictures.error_over_latency(evaluation, ["a", "b", "c"], 0.01).axes
    assert tips(axes) == ["a\n1.000 ms, +1.00 %", "b\n2.000 ms, -5.00 %", "c\n4.000 ms, +0.00 %"]
    # An interval of 1.04 times holds a measurement whose error lies in this band.
    heights = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((100 * (1 / 1.04 - 1), 4))


def test_every_network_is_in_the_histogram(evaluation):
    (axes,) = pictures.error_histogram(evaluation).axes
    assert sum(bar.get_height() for bar in axes.patches) == 3


def test_coverage_and_width_of_each_group(evaluation):
    (judgement,) = judge([evaluation])
    left, right = pictures.coverage_by_latency(judgement).axes
    assert [bar.get_height() for bar in left.patches] == pytest.approx([200 / 3])
    assert [bar.get_height() for bar in right.patches] == pytest.approx([100 * (1.04 - 1 / 1.04)])


def test_a_line_through_the_means_of_the_draws():
    points = [Point("xgb", 10, 0, 0.02, 1), Point("xgb", 10, 1, 0.04, 1), Point("xgb", 20, 0, 0.01, 1)]
    (axes,) = pictures.learning_curves(points, 0.005).axes
    line, dots, ceiling = axes.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([10, 20], pytest.approx([3, 1]))
    assert len(dots.get_xdata()) == 3
    assert set(ceiling.get_ydata()) == {0.5}


def test_choices_at_their_measured_latencies(evaluation):
    quality = np.array([1.0, np.nan, 0.5])
    (judgement,) = judge([evaluation], quality)
    (axes,) = pictures.chosen_front(judgement, quality, ["a", "b", "c"], "quality").axes
    assert tips(axes) == ["a\n1.000 ms, 0.00% slower than needed"]
