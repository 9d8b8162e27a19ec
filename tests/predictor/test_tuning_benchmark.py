"""The benchmark of xgb's parameters compares the same networks under every set of them."""

from __future__ import annotations

import numpy as np
import pytest

from predictor.tune import Trial


@pytest.fixture(scope="module")
def benchmark(load_benchmark):
    return load_benchmark("predictor_tuning")


def trials(errors: np.ndarray, *factors: float) -> list[Trial]:
    return [Trial({"n": i}, tuple((f * errors).tolist())) for i, f in enumerate((1.0, *factors))]


def test_differences_are_paired_and_weigh_files_alike(benchmark, rng):
    """Networks differ a hundredfold, but every one is a tenth better."""
    errors = rng.lognormal(-5, 1.5, size=60)
    rows = benchmark.compared([trials(errors, 0.8, 1.5), trials(100 * errors[:30], 1.0, 1.5)])
    assert [row["parameters"]["n"] for row in rows] == [1, 0, 2]
    assert [row["was_default"] for row in rows] == [False, True, False]
    assert [row["over_default"] for row in rows] == pytest.approx([0.9, 1, 1.5])
    assert rows[0]["over_default_interval"] == pytest.approx([0.9, 0.9])
    assert [row["verdict"] for row in rows] == ["better", "not told apart", "worse"]


def test_files_must_have_the_same_trials(benchmark):
    one = trials(np.ones(5), 0.5)
    with pytest.raises(ValueError, match="same trials"):
        benchmark.compared([one, one[::-1]])
