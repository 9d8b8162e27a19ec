from __future__ import annotations

import csv
import dataclasses

import pytest

from search.csv_files import COLUMNS, NOT_MEASURED, write_candidates


@pytest.mark.parametrize("is_accuracy", [True, False])
def test_one_line_a_candidate(tmp_path, candidates_of, is_accuracy):
    first, second = candidates_of([(10.12349, 0.5), (20, 0.75)])
    second = dataclasses.replace(second, n_parameters=7, model_bytes=9, round=2)
    path = tmp_path / "new" / "candidates.csv"
    write_candidates([first, second], path, is_accuracy=is_accuracy)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [float(row["quality"]) for row in rows] == [0.5, 0.75]
    assert [row["top1_validation"] for row in rows] == (
        ["0.500000", "0.750000"] if is_accuracy else [NOT_MEASURED] * 2
    )
    assert [float(row["predicted_latency_us"]) for row in rows] == [10.123, 20.0]
    assert [(row["architecture"], int(row["macs"])) for row in rows] == [
        (str(c.architecture), c.macs) for c in (first, second)
    ]
    assert [rows[1][name] for name in ("n_parameters", "model_bytes", "round")] == ["7", "9", "2"]
    assert [p.name for p in path.parent.iterdir()] == ["candidates.csv"]
