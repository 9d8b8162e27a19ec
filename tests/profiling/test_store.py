from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from profiling.plan import Plan
from profiling.store import Store
from profiling.store_file import APPLICATION_ID, SCHEMA_VERSION
from profiling.timing import Round
from supernet import OvnasError

N = 8


@pytest.fixture(scope="module")
def measured(known, tmp_path_factory) -> Path:
    """Eight networks, five of them repeated; not to be changed."""
    return known.write(tmp_path_factory.mktemp("store") / "m.sqlite", N, 5)


@pytest.fixture
def copy(measured, tmp_path) -> Path:
    path = tmp_path / "m.sqlite"
    path.write_bytes(measured.read_bytes())
    return path


def records_of(path: Path):
    with Store.open(path) as store:
        return store.records()


def test_round_trip(known, measured):
    architectures = known.architectures(N)
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


def test_a_missing_file_names_the_command(tmp_path):
    with pytest.raises(OvnasError, match=r"no measurements at .*python -m profiling\.collect"):
        records_of(tmp_path / "m.sqlite")
    assert list(tmp_path.iterdir()) == []


def foreign(path: Path, good: bytes) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE meta (key, value)")
    connection.close()


def text(path: Path, good: bytes) -> None:
    path.write_text("architecture,latency_us\n" * 200)


def empty(path: Path, good: bytes) -> None:
    path.write_bytes(b"")


def cut(path: Path, good: bytes) -> None:
    path.write_bytes(good[: len(good) // 2])


def newer(path: Path, good: bytes) -> None:
    path.write_bytes(good)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()


def without_meta(path: Path, good: bytes) -> None:
    path.write_bytes(good)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM meta")
    connection.close()


def damaged_plan(path: Path, good: bytes) -> None:
    assert good.count(b'"in_channels": ') > 1
    path.write_bytes(good.replace(b'"in_channels": ', b'"in_channels"##'))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE rounds SET before_us = zeroblob(length(before_us)), after_us = zeroblob(length(after_us))",
        "UPDATE rounds SET samples_us = zeroblob(length(samples_us))",
        "UPDATE rounds SET samples_us = x'00'",
        "UPDATE kernels SET counter_us = 0",
        "UPDATE networks SET architecture = 'nonsense' || id",
        "DELETE FROM rounds WHERE network = 2",
    ],
)
def test_rows_that_make_no_latency_are_damage(copy, change):
    with sqlite3.connect(copy) as connection:
        connection.execute(change)
    connection.close()
    with pytest.raises(OvnasError, match=rf"{copy} is damaged: .*; move it away"):
        records_of(copy)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (foreign, "foreign SQLite file"),
        (text, "damaged, or no ovnas file"),
        (empty, "foreign"),
        (cut, "damaged"),
        (newer, f"has schema {SCHEMA_VERSION + 1}, but this version reads {SCHEMA_VERSION}"),
        (without_meta, "damaged"),
        (damaged_plan, "damaged"),
    ],
)
def test_a_wrong_file_is_refused_and_left_alone(known, measured, tmp_path, spoil, message):
    path = tmp_path / "m.sqlite"
    spoil(path, measured.read_bytes())
    before = path.read_bytes()
    for way in (lambda: Store.open(path), lambda: Store.create_or_open(path, known.meta())):
        with pytest.raises(OvnasError, match=message), way() as store:
            store.records()
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["m.sqlite"]


@pytest.mark.parametrize("seed", range(4))
def test_overwritten_bytes_are_an_error_or_harmless(measured, tmp_path, seed):
    """Whatever is overwritten: one line for the user, or all the records; never a traceback."""
    good, rng = measured.read_bytes(), np.random.default_rng(seed)
    path = tmp_path / "m.sqlite"
    n_refused = 0
    for _ in range(25):
        spoiled = bytearray(good)
        at = int(rng.integers(0, len(good) - 4096))
        n = int(rng.choice([16, 512, 4096]))
        spoiled[at : at + n] = rng.bytes(n) if rng.random() < 0.5 else bytes(n)
        path.write_bytes(spoiled)
        try:
            assert len(records_of(path)) <= N
        except OvnasError:
            n_refused += 1
        assert path.read_bytes() == spoiled
    assert n_refused > 5


def test_our_files_are_marked_as_ours(measured):
    with sqlite3.connect(measured) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    connection.close()


@pytest.mark.parametrize(
    ("key", "fact", "named"),
    [
        ("machine", {"cpu_model": "another CPU"}, "cpu_model: "),
        ("machine", {"flags": ["avx2"]}, "flags: "),
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
        assert len(store.records()) == N


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
    architecture = known.architectures(N + 1)[-1]
    kernels = [*known.kernels(architecture), None]
    with Store.open(copy, is_written=True) as store, pytest.raises(AttributeError):
        store.add(architecture, known.rounds(architecture), kernels, 0.1)
    assert len(records_of(copy)) == N
    with sqlite3.connect(copy) as connection:
        for table in ("rounds", "kernels"):
            (n,) = connection.execute(f"SELECT count(DISTINCT network) FROM {table}").fetchone()
            assert n == N
    connection.close()


ADD = """
import itertools, pathlib, sys
import numpy as np
from profiling.coverage import space_filling
from profiling.store import KernelTime, Store
from profiling.timing import Round
samples = np.full(1000, 100, np.float32)
with Store.open(pathlib.Path(sys.argv[1]), is_written=True) as store:
    known = set(store.architectures())
    for a in space_filling(store.plan.space, np.random.default_rng(0)):
        if a not in known:
            own = enumerate(store.plan.of(a))
            kernels = [KernelTime("l", str(i), "e", "n", "n", (), k, 1.0) for i, k in own]
            store.add(a, [Round(samples, samples, samples, 0.5, False)] * 24, kernels, 0.1)
            print(a, flush=True)
"""


@pytest.mark.parametrize("n_seen", [1, 7])
def test_kill_9_keeps_what_was_finished(known, copy, n_seen):
    """And the next run goes on from there."""
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        [sys.executable, "-c", ADD, copy], env=env, stdout=subprocess.PIPE, text=True
    ) as it:
        seen = [it.stdout.readline().strip() for _ in range(n_seen)]
        it.kill()
    with Store.create_or_open(copy, known.meta()) as store:
        kept = [str(a) for a in store.architectures()]
        assert kept[N : N + n_seen] == seen
        assert [r.n_rounds for r in store.records()] == [5] * N + [24] * (len(kept) - N)
        assert all(len(r.kernels) == len(known.plan.of(r.architecture)) for r in store.records())
        n = len(kept)
        architecture = next(a for a in known.architectures(n + 2) if str(a) not in kept)
        store.add(architecture, known.rounds(architecture), known.kernels(architecture), 0.1)
    assert len(records_of(copy)) == n + 1


@pytest.fixture
def read_only(measured) -> Iterator[Path]:
    """A file, left by a writer, in a folder where nothing may be written, by whoever runs the tests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.sqlite"
        path.write_bytes(measured.read_bytes())
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            yield path
        finally:
            if is_root:
                os.seteuid(0)
            Path(folder).chmod(0o755)


def test_a_file_is_read_where_nothing_may_be_written(known, read_only):
    with pytest.raises(OSError, match="denied"):
        (read_only.parent / "x").touch()
    with Store.open(read_only) as store:
        assert len(store.records()) == N
    with (
        pytest.raises(OvnasError, match=r"readonly|unable to open"),
        Store.create_or_open(read_only, known.meta()),
    ):
        pass


def test_measurements_in_a_log_that_cannot_be_read_are_not_passed_over(read_only, monkeypatch):
    monkeypatch.setattr(Path, "stat", lambda self, **_: SimpleNamespace(st_size=9, st_mode=0o100444))
    with pytest.raises(OvnasError, match=r"last measurements are in m\.sqlite-wal"), Store.open(read_only):
        pass


def test_reading_changes_nothing(copy):
    with sqlite3.connect(copy) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    before = copy.read_bytes()
    with Store.open(copy) as store:
        architecture = store.architectures()[0]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            store.add_repeat(architecture, store.networks()[0].rounds)
    assert copy.read_bytes() == before
    assert [p.name for p in copy.parent.iterdir()] == [copy.name]


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
