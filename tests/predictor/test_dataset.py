from __future__ import annotations

import dataclasses
import shutil
import sqlite3

import numpy as np
import pytest

from predictor.dataset import MIN_NETWORKS, TEST_SHARE, _split, load_dataset
from profiling.store import Store
from supernet import OvnasError


def architectures(examples):
    return [e.record.architecture for e in examples]


@pytest.mark.parametrize("seed", range(6))
def test_the_parts_are_disjoint_and_complete(measurements, seed):
    data = load_dataset([measurements], seed=seed)
    train, test = set(architectures(data.train)), set(architectures(data.test))
    with Store.open(measurements) as store:
        assert train | test == set(store.architectures())
        records = store.records(held_out=test)
        assert sorted(repr(e.record) for e in data.examples) == sorted(map(repr, records))
    assert not train & test
    assert len(data.test) == round(TEST_SHARE * 60)
    assert {data.plans["tiny"].space.largest, data.plans["tiny"].space.smallest} <= train


def test_the_seed_decides_the_split(measurements):
    test = architectures(load_dataset([measurements], seed=1).test)
    assert architectures(load_dataset([measurements], seed=1).test) == test
    assert set(architectures(load_dataset([measurements], seed=2).test)) != set(test)


def test_what_goes_with_the_networks(measurements, known):
    data = load_dataset([measurements])
    meta = known.meta()
    facts = {key: meta[key] for key in ("study", "machine", "target", "peak")}
    assert data.meta == {**facts, "studies": ["tiny"]}
    assert data.plans == {"tiny": known.plan}
    assert data.anchor_us == {"tiny": pytest.approx(known.latency_us(known.plan.space.largest))}


@pytest.mark.parametrize("n", [0, MIN_NETWORKS - 1])
def test_too_few_networks_are_refused(known, tmp_path, n):
    path = known.write(tmp_path / "m.sqlite", n)
    with pytest.raises(OvnasError, match=rf"holds {n} networks, but 12 are needed .*profiling\.collect"):
        load_dataset([path])


def test_the_fewest_networks_make_both_parts(known, tmp_path):
    data = load_dataset([known.write(tmp_path / "m.sqlite", MIN_NETWORKS)])
    assert (len(data.train), len(data.test)) == (8, 4)


def test_two_studies_are_split_each_for_itself(measurements, write_other, tmp_path):
    data = load_dataset([measurements, write_other(tmp_path / "o.sqlite")])
    assert [sum(e.study == s for e in data.test) for s in ("tiny", "other")] == [18, 12]
    assert list(data.plans) == list(data.anchor_us) == data.meta["studies"] == ["tiny", "other"]
    alone = load_dataset([measurements])
    assert architectures(alone.test) == architectures(e for e in data.test if e.study == "tiny")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"target": {"mode": "latency", "threads": 2, "streams": 1, "batch": 1}}, "'threads': 2"),
        ({"machine": {"openvino": "2020.1"}}, "openvino: .* there, '2020.1' here"),
    ],
)
def test_studies_of_other_conditions_are_refused(measurements, write_other, known, tmp_path, changes, named):
    if "machine" in changes:
        changes = {"machine": {**known.meta()["machine"], **changes["machine"]}}
    path = write_other(tmp_path / "o.sqlite", 12, **changes)
    with pytest.raises(OvnasError, match=rf"other conditions than 'tiny' \(.*{named}"):
        load_dataset([measurements, path])


def test_a_study_twice_is_refused(measurements):
    with pytest.raises(OvnasError, match="study 'tiny' is given twice"):
        load_dataset([measurements, measurements])


def test_the_first_measured_are_learned_from(measurements):
    data = load_dataset([measurements], n_train=10)
    every = load_dataset([measurements])
    assert architectures(data.train) == architectures(every.train[:10])
    assert architectures(data.test) == architectures(every.test)
    assert {data.plans["tiny"].space.largest, data.plans["tiny"].space.smallest} <= set(
        architectures(data.train)
    )


def test_all_may_be_learned_from(measurements):
    with Store.open(measurements) as store:
        measured = store.architectures()
    data = load_dataset([measurements], n_train=58)
    assert architectures(data.train) == measured[:58]
    assert architectures(data.test) == measured[58:]
    with pytest.raises(OvnasError, match="holds 60 networks, but 61 are needed"):
        load_dataset([measurements], n_train=61)


def test_also_beyond_the_training_share_only_those_that_fill_are_held_out(known, tmp_path):
    path = known.write(tmp_path / "m.sqlite", 20)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE networks SET chosen_as = 'unsure' WHERE id % 2 = 0")
    db.close()
    data = load_dataset([path], n_train=16)
    assert len(data.train) == 16
    assert [e.record.chosen_as for e in data.test] == ["filling"] * 2


def test_only_networks_that_fill_the_space_are_held_out(measurements, known):
    """Those measured because a predictor was unsure of them would make a harder test than the space is."""
    records = [e.record for e in load_dataset([measurements]).examples]
    marked = [
        dataclasses.replace(r, chosen_as="unsure" if i % 2 else "filling") for i, r in enumerate(records)
    ]
    learned, judged = _split(marked, known.plan, np.random.default_rng(0))
    assert {r.chosen_as for r in judged} == {"filling"}
    assert len(learned) + len(judged) == len(marked)


def test_finalists_that_come_later_do_not_change_who_is_held_out(measurements, known):
    """Or a predictor that was trained before them would be judged on networks that it knows."""
    records = [e.record for e in load_dataset([measurements]).examples]
    _, before = _split(records, known.plan, np.random.default_rng(0))
    finalists = [dataclasses.replace(r, chosen_as="finalist") for r in records[:20]]
    learned, after = _split([*records, *finalists], known.plan, np.random.default_rng(0))
    assert after == before
    assert learned[-20:] == finalists


@pytest.mark.parametrize("n_train", [None, 20])
def test_what_is_learned_from_does_not_know_what_is_not(measurements, tmp_path, n_train):
    """Neither their latencies nor their counters, which once had a say in every kernel's share."""
    before = load_dataset([measurements], n_train=n_train)
    path = tmp_path / "m.sqlite"
    shutil.copyfile(measurements, path)
    learned = set(map(str, architectures(before.train)))
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT id, architecture FROM networks").fetchall()
        others = [(number,) for number, text in rows if text not in learned]
        db.executemany("UPDATE kernels SET counter_us = counter_us + 7 WHERE network = ?", others)
    db.close()
    after = load_dataset([path], n_train=n_train)
    assert len(others) > 15
    assert [repr(e.record) for e in after.train] == [repr(e.record) for e in before.train]
    assert [repr(e.record) for e in after.test] != [repr(e.record) for e in before.test]
