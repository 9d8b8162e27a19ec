"""The file itself: what is no store is refused, a kill loses nothing, reading changes nothing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from profiling.store import Store
from profiling.store_file import APPLICATION_ID, SCHEMA_VERSION
from supernet import OvnasError
from tests.profiling.conftest import N_STORED


def records_of(path: Path):
    with Store.open(path) as store:
        return store.records()


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


def test_a_missing_file_names_the_command(tmp_path):
    with pytest.raises(OvnasError, match=r"no measurements at .*python -m profiling\.collect"):
        records_of(tmp_path / "m.sqlite")
    assert list(tmp_path.iterdir()) == []


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
            assert len(records_of(path)) <= N_STORED
        except OvnasError:
            n_refused += 1
        assert path.read_bytes() == spoiled
    assert n_refused > 5


def test_our_files_are_marked_as_ours(measured):
    with sqlite3.connect(measured) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
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
        assert kept[N_STORED : N_STORED + n_seen] == seen
        assert [r.n_rounds for r in store.records()] == [5] * N_STORED + [24] * (len(kept) - N_STORED)
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
        assert len(store.records()) == N_STORED
    with (
        pytest.raises(OvnasError, match="cannot be written: allow it, or give another --runs-dir"),
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
