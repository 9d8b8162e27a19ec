"""What happens between two rounds, with stand-ins for measuring and training."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from predictor.train import predictor_folder
from search import feedback, refresh
from search.constraints import Constraints
from search.result import is_inside
from supernet import OvnasError, Study


def finalist(measured_us: float, ends: list[float | None], round: int = 1, violations=()):  # noqa: A002
    """The machine is twice as fast as when it was profiled."""
    return SimpleNamespace(
        built=SimpleNamespace(architecture="w8"),
        measured=SimpleNamespace(latency_us=measured_us / 2),
        machine_speed=2.0,
        interval_us=ends,
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
    monkeypatch.setattr(
        refresh, "retrain", lambda study, arguments, name, number, *_: f"{name}-round-{number}"
    )
    monkeypatch.setattr(
        refresh,
        "predicted_source",
        lambda study, arguments, settings, *_: found.append(settings.predictor) or "refreshed",
    )
    monkeypatch.setattr(
        refresh,
        "violations_of",
        lambda finalist, baseline, limits: [
            text for name, text in finalist.violations if getattr(limits, name) is not None
        ],
    )
    return found


@dataclass(frozen=True)
class Settings:
    predictor: str = "xgb"
    seed: int = 0
    constraints: Constraints = field(
        default_factory=lambda: Constraints(min_speedup=9.0, max_accuracy_drop=1.0)
    )


@pytest.fixture
def workshop():
    said = []
    return SimpleNamespace(
        settings=Settings(),
        baseline=None,
        target={},
        lock=nullcontext,
        bench=None,
        out=SimpleNamespace(print=lambda text, **options: said.append(text)),
        said=said,
    )


def go_on(workshop, finalists, number=1):
    arguments = SimpleNamespace(runs_dir=None)
    source = SimpleNamespace(is_known=True, data_hash="first")
    return refresh.refreshed(Study.load("digits"), arguments, workshop, source, finalists, number)


def test_another_round_only_where_a_finalist_is_outside(workshop, calls):
    assert go_on(workshop, [finalist(100, [90, 110]), finalist(100, [None, None])]) is None
    assert calls == []
    assert "no further round" in workshop.said[0]
    assert go_on(workshop, [finalist(100, [90, 110]), finalist(120, [90, 110])]) == "refreshed"
    assert calls == ["store", "xgb-round-2"]
    assert "1 finalist(s) outside" in workshop.said[-1]


def test_an_earlier_rounds_finalists_do_not_ask_again(workshop, calls):
    assert go_on(workshop, [finalist(120, [90, 110], 1), finalist(100, [90, 110], 2)], 2) is None
    assert calls == []
    assert go_on(workshop, [finalist(120, [90, 110], 1)], 2) is None
    assert "no candidate is left" in workshop.said[-1]


def test_another_round_where_no_finalist_keeps_to_the_constraints(workshop, calls):
    broken = finalist(100, [90, 110], violations=[("min_speedup", "8x < 9x")])
    assert go_on(workshop, [broken]) == "refreshed"
    assert "none keeps to --min-speedup 9" in workshop.said[-1]
    assert go_on(workshop, [broken, finalist(100, [90, 110])]) is None


def test_the_test_images_do_not_ask_for_another_round(workshop, calls):
    inaccurate = finalist(100, [90, 110], violations=[("max_accuracy_drop", "1.2 points > 1 points")])
    assert go_on(workshop, [inaccurate]) is None
    assert calls == []


def test_measurements_that_cannot_go_back_are_a_note(workshop, calls):
    @contextmanager
    def busy():
        raise OvnasError("another process is measuring")
        yield

    workshop.lock = busy
    assert go_on(workshop, [finalist(120, [90, 110])]) is None
    assert calls == []
    assert workshop.said == [
        "note: finalists were not added to the measurements: another process is measuring"
    ]


def test_a_repeated_search_takes_the_same_predictors_again(monkeypatch, tmp_path):
    study = Study.load("digits")
    tuning = [{"parameters": {"n_estimators": 3}, "error": 0.1}]
    cards, trained = {"xgb": {"seed": 4, "data_hash": "first", "tuning": tuning}}, []

    def train(arguments):
        assert arguments.tuning == tuning  # chosen once
        trained.append((arguments.predictor, arguments.name, arguments.seed))
        predictor_folder(study, tmp_path, arguments.name).mkdir(parents=True, exist_ok=True)
        cards[arguments.name] = {"seed": arguments.seed, "data_hash": f"hash {len(trained)}"}

    monkeypatch.setattr("predictor.train.train", train)
    monkeypatch.setattr("predictor.saved.load", lambda folder: SimpleNamespace(card=cards[folder.name]))
    arguments = SimpleNamespace(study="digits", runs_dir=tmp_path, json=True)

    def retrained(before, finalists):
        return feedback.retrain(study, arguments, "xgb", 2, before, finalists)

    for _ in range(2):
        assert retrained("first", ["w8"]) == "xgb-round-2"
        assert trained == [("xgb", "xgb-round-2", 4)]
    retrained("first", ["w16"])
    retrained("second", ["w16"])
    assert len(trained) == 3
    cards["xgb-round-2"]["data_hash"] = "trained by hand"
    retrained("second", ["w16"])
    assert len(trained) == 4


def test_a_predictor_of_its_own_making_is_not_overwritten(workshop, calls, monkeypatch):
    monkeypatch.setattr(refresh, "can_retrain", lambda *a: False)
    assert go_on(workshop, [finalist(120, [90, 110])]) is None
    assert calls == []
    assert "by hand" in workshop.said[0]
