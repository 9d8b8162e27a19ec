"""What happens between two rounds, with stand-ins for measuring and training."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from search import refresh
from search.result import is_inside
from supernet import Study


def finalist(measured_us: float, ends: list[float | None], round: int = 1, violations=()):  # noqa: A002
    """The anchor takes 1,000 us at the speed of profiling, and half of that now."""
    return SimpleNamespace(
        built=SimpleNamespace(architecture="w8"),
        measured=SimpleNamespace(latency_us=measured_us / 2),
        beside=SimpleNamespace(anchor_us=500.0),
        interval_us=ends,
        baseline_us=1000.0,
        round=round,
        violations=violations,
    )


@pytest.mark.parametrize(
    ("measured_us", "ends", "expected"),
    [(100, [90, 110], True), (111, [90, 110], False), (89, [90, 110], False), (100, [None, None], None)],
)
def test_inside_the_interval(measured_us, ends, expected):
    assert is_inside(finalist(measured_us, ends)) is expected


@pytest.fixture
def calls(monkeypatch):
    found = []
    monkeypatch.setattr(refresh, "store_finalists", lambda *a: found.append("store") or 1)
    monkeypatch.setattr(refresh, "can_retrain", lambda *a: True)
    monkeypatch.setattr(refresh, "retrain", lambda arguments, name: found.append(f"train {name}"))
    monkeypatch.setattr(refresh, "predicted_source", lambda *a: "refreshed")
    monkeypatch.setattr(refresh, "violations_of", lambda finalist, *a: finalist.violations)
    return found


@pytest.fixture
def workshop():
    said = []
    return SimpleNamespace(
        settings=SimpleNamespace(
            predictor="xgb", seed=0, constraints=SimpleNamespace(options="--min-speedup 9")
        ),
        baseline=None,
        target={},
        lock=nullcontext,
        out=SimpleNamespace(print=lambda text, **options: said.append(text)),
        said=said,
    )


def go_on(workshop, finalists, number=1):
    arguments = SimpleNamespace(runs_dir=None)
    source = SimpleNamespace(is_known=True)
    return refresh.refreshed(Study.load("digits"), arguments, workshop, source, finalists, number)


def test_another_round_only_where_a_finalist_is_outside(workshop, calls):
    assert go_on(workshop, [finalist(100, [90, 110]), finalist(100, [None, None])]) is None
    assert calls == []
    assert "no further round" in workshop.said[0]
    assert go_on(workshop, [finalist(100, [90, 110]), finalist(120, [90, 110])]) == "refreshed"
    assert calls == ["store", "train xgb"]
    assert "1 finalist(s) outside" in workshop.said[-1]


def test_an_earlier_rounds_finalists_do_not_ask_again(workshop, calls):
    assert go_on(workshop, [finalist(120, [90, 110], 1), finalist(100, [90, 110], 2)], 2) is None
    assert calls == []
    assert go_on(workshop, [finalist(120, [90, 110], 1)], 2) is None
    assert "no candidate is left" in workshop.said[-1]


def test_another_round_where_no_finalist_keeps_to_the_constraints(workshop, calls):
    broken = finalist(100, [90, 110], violations=["min_speedup: 8x < 9x"])
    assert go_on(workshop, [broken]) == "refreshed"
    assert "none keeps to --min-speedup 9" in workshop.said[-1]
    assert go_on(workshop, [broken, finalist(100, [90, 110])]) is None


def test_a_predictor_of_its_own_making_is_not_overwritten(workshop, calls, monkeypatch):
    monkeypatch.setattr(refresh, "can_retrain", lambda *a: False)
    assert go_on(workshop, [finalist(120, [90, 110])]) is None
    assert calls == []
    assert "by hand" in workshop.said[0]
