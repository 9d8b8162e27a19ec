"""The benchmark of predictors judges on nothing that was learned from, under any conditions."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType

import pytest

from predictor.dataset import load_dataset
from predictor.registry import make_predictor
from profiling.store import Store
from supernet import OvnasError


@pytest.fixture(scope="module")
def benchmark(load_benchmark) -> ModuleType:
    return load_benchmark("predictor_accuracy")


@pytest.fixture(scope="module")
def store(known, tmp_path_factory):
    """Writes a store of these networks; `changes` are of its meta."""
    folder = tmp_path_factory.mktemp("stores")

    def write(name: str, architectures, **changes: object) -> Path:
        with Store.create_or_open(folder / name, known.meta(**changes)) as file:
            for i, architecture in enumerate(architectures):
                file.add(architecture, known.rounds(architecture, i), known.kernels(architecture), 0.1)
        return folder / name

    return write


@pytest.fixture(scope="module")
def here(known, store) -> Path:
    return store("here.sqlite", known.architectures(40))


@pytest.fixture(scope="module")
def elsewhere(known, store) -> Path:
    """With another number of threads: 20 of the same networks, and 35 others."""
    target = {**known.target, "threads": known.target["threads"] + 1}
    same, measured = known.architectures(20), set(known.architectures(40))
    others = [a for a in known.architectures(120, seed=4) if a not in measured][:35]
    return store("elsewhere.sqlite", [*same, *others], target=target)


def arguments(file: Path, **changes: object) -> argparse.Namespace:
    values = {"train": 20, "also": None, "unseen": None, "adapt_from": None, "seed": 0, "splits": 1}
    return argparse.Namespace(file=file, **{**values, **changes})


def names(examples) -> set:
    return {(e.study, e.record.architecture) for e in examples}


@pytest.mark.parametrize("seed", range(3))
def test_exactly_so_many_are_learned_from_and_the_others_judged_on(benchmark, here, known, seed):
    whole = load_dataset([here], seed=seed)
    data = benchmark.split([whole], 20)
    assert len(data.train) == 20
    assert not names(data.train) & names(data.test)
    assert names(data.examples) == names(whole.examples)
    with pytest.raises(OvnasError, match="has 40 networks, but 40 are wanted"):
        benchmark.split([whole], 40)


def test_two_studies_are_joined_once_and_of_one_setting(benchmark, here, elsewhere, known, store, write_other,
                                                         tmp_path):  # fmt: skip
    parts = [load_dataset([p]) for p in (here, write_other(tmp_path / "o.sqlite"))]
    data = benchmark.split(parts, 15)
    assert [sum(e.study == s for e in data.train) for s in ("tiny", "other")] == [15, 15]
    assert not names(data.train) & names(data.test)
    unseen = benchmark.joined(
        benchmark.split(parts[:1], 15), parts[1], train=(), test=parts[1].examples, keep_test=False
    )
    assert {e.study for e in unseen.test} == {"other"}
    assert {e.study for e in unseen.train} == {"tiny"}
    with pytest.raises(OvnasError, match="'tiny' is given twice"):
        benchmark.split([parts[0], load_dataset([elsewhere])], 15)
    target = {**known.target, "threads": known.target["threads"] + 1}
    with pytest.raises(OvnasError, match="other conditions"):
        benchmark.split([parts[0], load_dataset([write_other(tmp_path / "t.sqlite", target=target)])], 15)


def test_an_adapted_predictor_has_seen_nothing_that_is_used_here(benchmark, here, elsewhere, monkeypatch):
    learned = []
    original = benchmark.Dataset.fit

    def fit(predictor, examples):
        learned.append(names(examples))
        return original(predictor.set_params(n_estimators=5, n_joint=0), examples)

    monkeypatch.setattr(benchmark.Dataset, "fit", staticmethod(fit))
    task = benchmark.task_of(arguments(here, adapt_from=elsewhere), 0)
    assert list(task.predictors)[:2] == ["adapted", "xgb"]
    (base,) = learned
    assert base == names(load_dataset([elsewhere]).examples) - names(task.data.examples)
    assert task.origin["networks"] == len(base) >= 30
    with pytest.raises(OvnasError, match="nothing to adapt"):
        benchmark.task_of(arguments(here, adapt_from=here), 0)


def test_the_interval_is_judged_on_other_splits(benchmark, here, monkeypatch):
    monkeypatch.setattr(benchmark, "make_predictor", lambda kind, seed: make_predictor("macs", seed=seed))
    monkeypatch.setattr("predictor.evaluation.SPEED_SAMPLE", 1000)
    value = benchmark.accuracy(arguments(here, splits=3))
    splits = value["splits"]
    assert (splits["splits"], splits["judgements"]) == (3, 3 * value["counts"]["test_networks"])
    assert splits["coverages"][0] == value["predictors"]["xgb"]["interval"]["coverage"]
    assert splits["coverage"] == pytest.approx(sum(splits["coverages"]) / 3)
    with pytest.raises(OvnasError, match="--splits must be >= 1"):
        benchmark.accuracy(arguments(here, splits=0))
