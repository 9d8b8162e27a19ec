from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from predictor.features import FEATURES, feature_matrix
from predictor.network import Conditions
from profiling.kernel import Kernel

CONVOLUTION = Kernel("Convolution", 1, 24, 12, 12, 40, 6, 6, 3, 3, 24, 2, 4, "u8", "f32")
CONDITIONS = Conditions(1, 1, 2**15, 2**20, 2**25)
ODD = [
    Kernel("SomethingNew", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "", "weird"),
    Kernel("FullyConnected", 1, 7, 1, 1, 1, 1, 1, 1, 1, 7, 1, 1, "f32", "f32"),
    Kernel("Reduce", 64, 2048, 1, 1, 2048, 0, 0, 1, 1, 0, 1, 1, "u8", "u8"),
    Kernel("Convolution", 1, 10**6, 4096, 4096, 10**6, 4096, 4096, 31, 31, 10**6, 9, 99, "bf16", "i32"),
    Kernel("Convolution", 1, 8, 1, 1, 8, 7, 7, 3, 3, 1, 1, 1, "i8", "u8"),
]


def feature(kernel: Kernel, name: str) -> float:
    return float(feature_matrix([kernel], CONDITIONS)[0, FEATURES.index(name)])


def test_names_are_unique():
    assert len(set(FEATURES)) == len(FEATURES) > 20


def test_a_row_a_kernel_a_column_a_name():
    kernels = [CONVOLUTION, *ODD]
    matrix = feature_matrix(kernels, CONDITIONS)
    assert matrix.shape == (len(kernels), len(FEATURES))
    assert feature_matrix([], CONDITIONS).shape == (0, len(FEATURES))
    for row, kernel in zip(matrix, kernels, strict=True):
        np.testing.assert_array_equal(row, feature_matrix([kernel], CONDITIONS)[0])
    np.testing.assert_array_equal(feature_matrix(kernels[::-1], CONDITIONS), matrix[::-1])


@pytest.mark.parametrize("kernel", ODD, ids=str)
def test_odd_kernels_have_finite_features(kernel):
    assert np.isfinite(feature_matrix([kernel], CONDITIONS)).all()


def test_values_by_hand():
    macs = 6 * 6 * 40 * 24 * 9
    traffic = 24 * 144 + 36 * 40 * 4 * 2 + 40 * 24 * 9  # u8 in, two f32 maps out, INT8 weights
    expected = {
        "positions": 36,
        "stride": 2,
        "kernel_area": 9,
        "log_macs": np.log1p(macs),
        "log_tiled_macs": np.log1p(6 * 6 * 48 * 24 * 9),  # 40 channels fill three registers of 16
        "tile_use": 40 / 48,
        "out_tiles": 3,
        "in_tiles": 1,
        "in_over_vector": 8,
        "out_over_vector": 8,
        "out_over_line": 40,
        "in_size": 1,
        "out_size": 4,
        "log_bytes": np.log1p(traffic),
        "log_intensity": np.log1p(macs) - np.log1p(traffic),
        "is_convolution": 1,
        "is_pooling": 0,
    }
    assert {name: feature(CONVOLUTION, name) for name in expected} == pytest.approx(expected)


def test_weights_are_as_large_as_the_precision_computed_in():
    sizes = {"u8": 1, "i8": 1, "bf16": 2, "f32": 4}
    for precision, size in sizes.items():
        kernel = dataclasses.replace(CONVOLUTION, in_precision=precision)
        assert feature(kernel, "log_weight_bytes") == pytest.approx(np.log1p(40 * 24 * 9 * size))


def test_a_reorder_that_keeps_the_precision_changes_the_layout():
    reorder = dataclasses.replace(CONVOLUTION, kind="Reorder", out_precision="u8")
    assert feature(reorder, "changes_layout") == 1
    assert feature(dataclasses.replace(reorder, out_precision="f32"), "changes_layout") == 0
    assert feature(dataclasses.replace(reorder, kind="Pooling"), "changes_layout") == 0


def test_macs_are_the_kernels_own():
    for kernel in (CONVOLUTION, *ODD):
        assert feature(kernel, "log_macs") == pytest.approx(np.log1p(float(kernel.macs)))


def test_one_kind_has_one_column():
    columns = [i for i, name in enumerate(FEATURES) if name.startswith("is_")]
    for name in (n for n in FEATURES if n.startswith("is_")):
        kind = next(k for k in KINDS if k.lower() == name.removeprefix("is_"))
        row = feature_matrix([dataclasses.replace(CONVOLUTION, kind=kind)], CONDITIONS)[0]
        assert row[columns].sum() == row[FEATURES.index(name)] == 1
    assert feature_matrix([ODD[0]], CONDITIONS)[0, columns].sum() == 0


KINDS = ("Convolution", "FullyConnected", "Pooling", "Reduce", "Reorder", "Subgraph", "Eltwise", "Reshape")


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Kernel)])
def test_every_field_of_a_kernel_shows_in_its_features(field):
    value = getattr(CONVOLUTION, field)
    changed = {"kind": "Pooling", "in_precision": "f32", "out_precision": "u8"}.get(field)
    other = dataclasses.replace(CONVOLUTION, **{field: changed or 2 * value + 1})
    assert not np.array_equal(feature_matrix([other], CONDITIONS), feature_matrix([CONVOLUTION], CONDITIONS))
