from __future__ import annotations

import pytest

from predictor.learning_curve import curve_sizes, learning_curve
from predictor.metrics import accuracy_of
from predictor.registry import make_predictor


@pytest.mark.parametrize(
    ("n", "sizes"), [(8, [8]), (19, [19]), (20, [10, 20]), (150, [19, 38, 75, 150]), (42, [10, 21, 42])]
)
def test_sizes_about_double(n, sizes):
    assert curve_sizes(n) == sizes


def test_every_size_is_judged_on_the_test_networks(data, monkeypatch):
    parts = []
    steps = []

    original = data.fit

    def fit(predictor, examples):
        parts.append({e.network.codes for e in examples})
        return original(predictor, examples)

    monkeypatch.setattr(type(data), "fit", staticmethod(fit))
    kinds = {name: make_predictor(name) for name in ("macs", "lookup")}
    points = learning_curve(data, kinds, repeats=2, advance=lambda: steps.append(1))
    assert [(p.name, p.n, p.repeat) for p in points if p.name == "macs"] == [
        ("macs", 10, 0), ("macs", 10, 1), ("macs", 21, 0), ("macs", 21, 1), ("macs", 42, 0),
    ]  # fmt: skip
    assert len(steps) == len(points) == 10
    assert all(p.mape < 1e-4 and p.kendall_tau > 0.99 for p in points if p.name == "macs")
    test = {e.network.codes for e in data.test}
    assert all(not part & test for part in parts)
    ten_a, ten_b, more_a = parts[0], parts[2], parts[4]
    assert ten_a < more_a  # a draw grows
    assert ten_a != ten_b


def test_the_whole_is_what_a_report_trains_on(data):
    """With the parameters of what was judged, which is left alone."""
    predictor = make_predictor("forest").set_params(n_estimators=3)
    whole = learning_curve(data, {"forest": predictor}, repeats=1)[-1]
    assert not hasattr(predictor, "forests_")
    fitted = data.fit(make_predictor("forest").set_params(n_estimators=3), data.train)
    found = accuracy_of(data.latencies(data.test), fitted.predict([e.network for e in data.test]))
    assert (whole.n, whole.mape, whole.kendall_tau) == (42, found["mape"], found["kendall_tau"])
