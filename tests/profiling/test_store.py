from __future__ import annotations

import dataclasses
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from profiling.plan import Plan
from profiling.store import Store
from profiling.timing import Round
from supernet import OvnasError
from tests.profiling.conftest import N_STORED


def records_of(path: Path):
    with Store.open(path) as store:
        return store.records()


def test_round_trip(known, measured):
    architectures = known.architectures(N_STORED)
    with Store.open(measured) as store:
        assert store.meta == json.loads(json.dumps(known.meta()))
        assert store.plan == known.plan
        assert store.architectures() == architectures
        records = store.records()
    assert [r.architecture for r in records] == architectures
    for record in records:
        assert record.macs == known.plan.space.macs(record.architecture)
        assert (record.prepare_s, record.n_rounds, record.n_flagged) == (0.1, 5, 0)
        expected = known.kernels(record.architecture)
        assert [dataclasses.replace(k, time_us=float("nan")) for k in record.kernels] != expected  # NaN
        for found, wanted in zip(record.kernels, expected, strict=True):
            fields = ("layer", "name", "exec_type", "layout", "kernel", "counter_us")
            assert [getattr(found, f) for f in fields] == [getattr(wanted, f) for f in fields]


def test_latencies_are_the_known_ones_for_all_the_drift(known, measured):
    records = records_of(measured)
    for i, record in enumerate(records):
        latency = known.latency_us(record.architecture)
        assert record.latency_us == pytest.approx(latency, rel=1e-6)
        assert record.repeat_us == pytest.approx(1.01 * latency if i < 5 else float("nan"), nan_ok=True)
    with Store.open(measured) as store:
        assert store.anchor_us() == pytest.approx(known.latency_us(known.plan.space.largest))


def test_kernels_and_overhead_sum_to_the_latency(known, measured):
    """Counters say 1.3 times too much; what is left after the correction is each kernel's own law."""
    for record in records_of(measured):
        assert record.overhead_us == known.overhead_us
        times = [k.time_us for k in record.kernels]
        assert sum(times) + record.overhead_us == pytest.approx(record.latency_us)
        # Samples are float32, so that what is taken off every counter is not exactly nothing.
        expected = [known.kernel_us(k.kernel) for k in record.kernels]
        assert times == pytest.approx(expected, rel=1e-5, abs=1e-6)
        assert record.counters_us == pytest.approx(1.3 * sum(times), rel=1e-5)


def test_overhead_is_never_more_than_half_of_the_latency(known, tmp_path):
    with Store.create_or_open(tmp_path / "m.sqlite", known.meta(overhead_us=1e9)) as store:
        architecture = known.plan.space.largest
        store.add(architecture, known.rounds(architecture), known.kernels(architecture), 0.1)
        (record,) = store.records()
    assert record.overhead_us == pytest.approx(record.latency_us / 2)
    assert all(k.time_us > 0 for k in record.kernels)


def test_raw_samples_are_kept(known, tmp_path, rng):
    path = tmp_path / "m.sqlite"
    architecture = known.plan.space.smallest
    rounds = [
        Round(*(rng.random(k).astype(np.float32) for k in (n, 3, 2)), n / 10, n == 5) for n in (4, 5, 6)
    ]
    with Store.create_or_open(path, known.meta()) as store:
        store.add(architecture, rounds, known.kernels(architecture), 0.1)
        assert [(r.n_rounds, r.n_flagged) for r in store.records()] == [(3, 1)]
        (stored,) = store.networks()
    for kept, expected in zip(stored.rounds, rounds, strict=True):
        for name in ("samples", "before", "after"):
            np.testing.assert_array_equal(getattr(kept, name), getattr(expected, name))
        assert (kept.place, kept.is_flagged) == (expected.place, expected.is_flagged)
    assert stored.repeats == ()
    assert stored.kernels == tuple(known.kernels(architecture)) or all(
        replace(k, time_us=0.0) == replace(e, time_us=0.0)
        for k, e in zip(stored.kernels, known.kernels(architecture), strict=True)
    )


def test_an_empty_store_has_no_records(known, tmp_path):
    with Store.create_or_open(tmp_path / "new" / "m.sqlite", known.meta()) as store:
        assert store.records() == []
        assert store.architectures() == []


def test_repeating_again_replaces(known, copy):
    architecture = known.plan.space.largest
    for scale in (1.05, 0.97):
        with Store.open(copy, is_written=True) as store:
            store.add_repeat(architecture, known.rounds(architecture, 7, scale))
    record = next(r for r in records_of(copy) if r.architecture == architecture)
    assert record.repeat_us == pytest.approx(0.97 * record.latency_us, rel=1e-6)
    assert record.n_rounds == 5


@pytest.mark.parametrize(
    ("key", "fact", "named"),
    [
        ("machine", {"cpu_model": "another CPU"}, "cpu_model: "),
        ("machine", {"flags": ["sse42"]}, "flags: "),
        ("machine", {"openvino": "2020.1"}, "openvino: .*'2020.1' here"),
        ("target", {"threads": 7}, "target threads: 1 there, 7 here"),
        ("target", {"batch": 8}, "target batch: 1 there, 8 here"),
    ],
)
def test_other_conditions_are_refused_and_named(known, copy, key, fact, named):
    before = copy.read_bytes()
    meta = known.meta()
    with (
        pytest.raises(OvnasError, match=rf"measured under other conditions \({named}"),
        Store.create_or_open(copy, {**meta, key: {**meta[key], **fact}}),
    ):
        pass
    assert copy.read_bytes() == before


def test_what_need_not_agree_is_accepted(known, copy):
    machine = {**known.meta()["machine"], "kernel": "another", "python": "3.99"}
    with Store.create_or_open(copy, known.meta(machine=machine)) as store:
        assert len(store.records()) == N_STORED


def test_another_plan_is_refused(known, copy):
    plan = dataclasses.replace(known.plan, kernels=known.plan.kernels[:-1])
    assert Plan.from_json(plan.to_json()) == plan
    with (
        pytest.raises(OvnasError, match="another model, space or kernels"),
        Store.create_or_open(copy, known.meta(plan=plan.to_json())),
    ):
        pass


def test_a_network_is_added_whole_or_not_at_all(known, copy):
    """An error in the middle of a network's rows leaves none of them."""
    architecture = known.architectures(N_STORED + 1)[-1]
    kernels = [*known.kernels(architecture), None]
    with Store.open(copy, is_written=True) as store, pytest.raises(AttributeError):
        store.add(architecture, known.rounds(architecture), kernels, 0.1)
    assert len(records_of(copy)) == N_STORED
    with sqlite3.connect(copy) as connection:
        for table in ("rounds", "kernels"):
            (n,) = connection.execute(f"SELECT count(DISTINCT network) FROM {table}").fetchone()
            assert n == N_STORED
    connection.close()


def test_networks_that_execute_other_kernels_than_planned_are_counted(known, tmp_path):
    first, second = known.architectures(2)
    with Store.create_or_open(tmp_path / "m.sqlite", known.meta()) as store:
        store.add(first, known.rounds(first), known.kernels(first), 0.1)
        assert store.n_unplanned() == 0
        store.add(second, known.rounds(second), known.kernels(second)[1:], 0.1)
        assert store.n_unplanned() == 1


def test_why_a_network_was_chosen_is_kept(known, tmp_path):
    with Store.create_or_open(tmp_path / "m.sqlite", known.meta()) as store:
        for a, reason in zip(known.architectures(3), ("extreme", "filling", "unsure"), strict=True):
            store.add(a, known.rounds(a), known.kernels(a), 0.1, reason)
        assert [r.chosen_as for r in store.records()] == ["extreme", "filling", "unsure"]


def test_merging_joins_what_is_new(known, tmp_path):
    first, second = known.write(tmp_path / "a.sqlite", 6), known.write(tmp_path / "b.sqlite", 10, 8)
    with Store.open(second) as other, Store.open(first, is_written=True) as store:
        assert store.merge(other) == 4
        assert store.merge(other) == 0
        assert [r.repeat_us > 0 for r in store.records()] == [True] * 8 + [False] * 2
    whole = records_of(second)
    for joined, expected in zip(records_of(first), whole, strict=True):
        assert joined.architecture == expected.architecture
        assert joined.latency_us == pytest.approx(expected.latency_us, rel=1e-6)
        assert [k.originals for k in joined.kernels] == [k.originals for k in expected.kernels]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"machine": {"openvino": "2031.1"}}, "openvino: '2031.1' there"),
        ({"target": {"threads": 7}}, "target threads: 7 there, 1 here"),
        ({"properties": {"PRECISION": "bf16"}}, "property PRECISION: 'bf16' there, None here"),
    ],
)
def test_merging_refuses_other_conditions_and_names_them(known, tmp_path, changes, named):
    path = known.write(tmp_path / "a.sqlite", 3)
    meta = known.meta()
    meta |= {key: {**meta[key], **change} for key, change in changes.items()}
    with (
        Store.create_or_open(tmp_path / "b.sqlite", meta) as other,
        Store.open(path) as store,
        pytest.raises(OvnasError, match=named),
    ):
        store.merge(other)
    assert len(records_of(path)) == 3
