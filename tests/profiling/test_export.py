from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pandas as pd
import pytest

from profiling.export import FORMATS, kernel_table, write_table
from profiling.store import Store
from supernet import OvnasError

READ = {"csv": pd.read_csv, "parquet": pd.read_parquet}


@pytest.fixture(scope="module")
def records(known, tmp_path_factory):
    path = known.write(tmp_path_factory.mktemp("store") / "m.sqlite", 3, 1)
    with Store.open(path) as store:
        return store.records()


@pytest.fixture(scope="module")
def table(known, records):
    return kernel_table(records, known.meta())


@pytest.fixture(params=sorted(FORMATS))
def kind(request) -> str:
    if request.param == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    return request.param


def test_a_row_a_kernel(known, records, table):
    assert len(table) == sum(len(r.kernels) for r in records)
    assert list(table["architecture"].unique()) == [str(r.architecture) for r in records]
    assert set(table["cpu_model"]) == {known.meta()["machine"]["cpu_model"]}
    for record in records:
        rows = table[table["architecture"] == str(record.architecture)]
        assert list(rows["position"]) == list(range(len(record.kernels)))
        assert list(rows["layer"]) == [k.layer for k in record.kernels]
        assert list(rows["macs"]) == [k.kernel.macs for k in record.kernels]
        assert set(rows["network_macs_per_sample"]) == {record.macs}
        total = rows["time_us"].sum() + rows["overhead_us"].iloc[0]
        assert total == pytest.approx(rows["latency_us"].iloc[0])
        for name in dataclasses.asdict(record.kernels[0].kernel):
            assert list(rows[name]) == [getattr(k.kernel, name) for k in record.kernels]


def test_networks_not_repeated_have_no_second_latency(records, table):
    first = table["architecture"] == str(records[0].architecture)
    assert table[first]["repeat_us"].notna().all()
    assert table[~first]["repeat_us"].isna().all()


def test_round_trip(table, tmp_path, kind):
    path = tmp_path / "new" / f"kernels.{kind}"
    write_table(table, path, kind)
    pd.testing.assert_frame_equal(READ[kind](path), table, check_dtype=kind == "parquet")
    write_table(table.head(2), path, kind)  # an export may be replaced by another
    assert len(READ[kind](path)) == 2
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("content", [b"", b"my thesis", b"study,notes\n", b"\x00PAR1"])
def test_what_is_no_export_is_left_alone(table, tmp_path, kind, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(OvnasError, match=rf"exists and is no {kind} export.*--to"):
        write_table(table, path, kind)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_no_export(table, tmp_path, kind):
    with pytest.raises(OvnasError, match="is no"):
        write_table(table, tmp_path, kind)


def test_an_export_that_fails_leaves_the_old_one(table, tmp_path, kind, monkeypatch):
    path = tmp_path / f"kernels.{kind}"
    write_table(table, path, kind)
    before = path.read_bytes()

    def fail(table: pd.DataFrame, partial: Path) -> None:
        partial.write_bytes(before[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(FORMATS, kind, (fail, FORMATS[kind][1]))
    with pytest.raises(OSError, match="No space"):
        write_table(table, path, kind)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_library_is_named(table, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(OvnasError, match=r"needs pyarrow: pip install pyarrow"):
        write_table(table, tmp_path / "kernels.parquet", "parquet")
    assert list(tmp_path.iterdir()) == []
