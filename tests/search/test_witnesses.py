from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from search import run
from search.finalists import Measurement
from search.result import widened
from search.witnesses import N_WITNESSES, Testimony, call_witnesses, evenly_by_latency
from supernet import OvnasError


def records_of(latencies):
    return [SimpleNamespace(latency_us=us) for us in latencies]


def test_are_spread_over_the_logarithm_of_latency():
    records = records_of(10 ** (i / 20) for i in range(81))  # 1 to 10,000 us
    found = [r.latency_us for r in evenly_by_latency(records[::-1], 4)]
    np.testing.assert_allclose(found, [10**0.5, 10**1.5, 10**2.5, 10**3.5])
    few = records_of([5, 5, 5, 7])
    assert len({*map(id, evenly_by_latency(few, 3))}) == 3
    assert evenly_by_latency(few[:2], 3) == few[:2]
    assert evenly_by_latency([], 3) == []


def measurement(anchor_us, *speeds):
    witnesses = tuple(Testimony(None, 100.0 * speed, 100.0) for speed in speeds)
    return Measurement(anchor_us, None, None, (), witnesses)


@pytest.mark.parametrize(
    ("speeds", "expected"),
    [
        ((), 1.25),  # the anchor alone: 1,000 us then, 800 now
        ((1.02, 1.04), 1.04),
        ((1.02, 1.04, 1.03, 1.05), 1.04),  # of five, one of which is the anchor
        ((1.3, 1.4, 1.3, 1.5), 1.3),
    ],
)
def test_the_median_of_anchor_and_witnesses_is_the_machines_speed(speeds, expected):
    assert measurement(800.0, *speeds).machine_speed(1000.0) == pytest.approx(expected)


def test_what_witnesses_differ_by_is_the_drift_of_one_more():
    assert measurement(800.0).drift(1000.0) == 0.0
    assert measurement(800.0, 1.2).drift(1000.0) == 0.0  # two say nothing of how much they differ
    assert measurement(1000.0, 1.0, 1.0).drift(1000.0) == pytest.approx(0.0)
    # Logarithms 0, 0.01 and -0.01: deviation 0.01, Student's t of two degrees of freedom 2.920.
    found = measurement(1000.0, np.exp(0.01), np.exp(-0.01)).drift(1000.0)
    assert found == pytest.approx(2.920 * 0.01 * np.sqrt(4 / 3), rel=1e-3)


def test_drift_covers_so_many_of_networks_that_drift_alike():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(4000):
        own = rng.normal(0.0, 0.02, 6)
        made = measurement(np.exp(-own[0]), *np.exp(own[1:5]))
        inside.append(abs(own[5] - np.log(made.machine_speed(1.0))) <= made.drift(1.0))
    assert np.mean(inside) == pytest.approx(0.9, abs=0.03)


def test_an_interval_moves_out_by_the_drift():
    low, high = widened(100.0, [100 * np.exp(-0.03), 100 * np.exp(0.03)], 0.04)
    assert (np.log(100 / low), np.log(high / 100)) == pytest.approx((0.05, 0.05))
    assert widened(100.0, [98.0, 103.0], 0.0) == pytest.approx([98.0, 103.0])
    assert widened(100.0, [None, None], 0.1) == [None, None]


class Store:
    """Networks whose anchor took 2,000 us; the finalist and the largest are none to ask."""

    found = (
        *(SimpleNamespace(architecture=f"w{us}", latency_us=us, chosen_as="filling") for us in (20, 200)),
        SimpleNamespace(architecture="w30", latency_us=30, chosen_as="finalist"),
        SimpleNamespace(architecture="largest", latency_us=2000, chosen_as="filling"),
    )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def anchor_us(self):
        return 2000.0

    def records(self):
        return self.found


def test_come_from_the_database_at_the_speed_of_the_source(monkeypatch, tmp_path):
    path = tmp_path / "store.sqlite"
    monkeypatch.setattr("profiling.collect.store_path", lambda study, runs_dir: path)
    asked = []
    monkeypatch.setattr(
        "profiling.store.Store.create_or_open", lambda path, meta: asked.append(meta) or Store()
    )
    source = SimpleNamespace(space=SimpleNamespace(largest="largest"), baseline_us=1000.0)
    bench = SimpleNamespace(graphs=SimpleNamespace(model=lambda architecture: f"graph of {architecture}"))
    assert call_witnesses(None, tmp_path, source, lambda: pytest.fail("there is nothing to ask")) == []
    path.touch()
    found = call_witnesses(None, tmp_path, source, lambda: (bench, "what rows must agree in"))
    assert asked == ["what rows must agree in"]
    assert [(w.architecture, w.then_us, w.model) for w in found] == [
        ("w20", 10.0, "graph of w20"),
        ("w200", 100.0, "graph of w200"),
    ]
    assert len(found) <= N_WITNESSES


def test_a_database_of_other_conditions_leaves_it_to_the_anchor(monkeypatch, tmp_path):
    def refused(*_):
        raise OvnasError("measured under other conditions")

    said = []
    monkeypatch.setattr("search.witnesses.call_witnesses", refused)
    out = SimpleNamespace(print=lambda text, **_: said.append(text))
    witnesses = run._witnesses(None, SimpleNamespace(runs_dir=tmp_path), None, out)
    assert witnesses(SimpleNamespace(is_known=False)) == ()
    assert said == []
    assert witnesses(SimpleNamespace(is_known=True)) == ()
    assert said == [
        "note: the anchor alone says how fast the machine is now: measured under other conditions"
    ]
