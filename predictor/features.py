"""The one feature function, for fitting and for predicting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from predictor.network import Conditions, Network
from profiling.kernel import Kernel, bytes_of

__all__ = ["FEATURES", "feature_matrix", "network_features"]

Floats = NDArray[np.float64]

# Kinds that have a column of their own; any other kind has none of these set.
_KINDS = ("Convolution", "FullyConnected", "Pooling", "Reduce", "Reorder", "Subgraph", "Eltwise", "Reshape")
# Channels of one AVX-512 register of 32-bit accumulators, of one cache line, and of one VNNI dot product.
_VECTOR, _LINE, _DOT = 16, 64, 4
# Output pixels of a row that oneDNN's INT8 convolutions keep in registers at once, about.
_PIXELS = 14


def feature_matrix(kernels: Sequence[Kernel], conditions: Conditions) -> Floats:
    """One row a kernel, one column a name in FEATURES: shape (n_kernels, n_features)."""
    columns = _columns(kernels, conditions)
    return np.stack([columns[name] for name in FEATURES], axis=1)


def network_features(networks: Sequence[Network]) -> Floats:
    """The rows of all networks' kernels, one after the other: shape (n_rows, n_features)."""
    rows = [feature_matrix(n.kernels, n.conditions) for n in networks]
    return np.concatenate([np.empty((0, len(FEATURES))), *rows])


def _columns(kernels: Sequence[Kernel], conditions: Conditions) -> dict[str, Floats]:
    def field(name: str) -> Floats:
        return np.array([getattr(k, name) for k in kernels], dtype=np.float64)

    batch, seen = field("batch"), field("in_per_group")
    in_c, in_h, in_w = field("in_channels"), field("in_height"), field("in_width")
    out_c, out_h, out_w = field("out_channels"), field("out_height"), field("out_width")
    area = field("kernel_height") * field("kernel_width")
    in_size = np.array([bytes_of(k.in_precision) for k in kernels], dtype=np.float64)
    out_size = np.array([bytes_of(k.out_precision) for k in kernels], dtype=np.float64)
    positions = batch * out_h * out_w
    macs = np.array([k.macs for k in kernels], dtype=np.float64)
    pixels = np.where([k.kind == "Deconvolution" for k in kernels], batch * in_h * in_w, positions)
    tiled = pixels * _up(out_c, _VECTOR) * _up(seen, _DOT) * area
    in_bytes = batch * in_c * in_h * in_w * in_size
    out_bytes = positions * out_c * out_size * field("n_inputs")
    weight_bytes = out_c * seen * area * in_size
    all_bytes = in_bytes + out_bytes + weight_bytes
    groups = np.divide(in_c, seen, out=np.ones_like(in_c), where=seen > 0)
    l1, l2 = float(conditions.l1d_bytes), float(conditions.l2_bytes)
    l3 = conditions.l3_bytes / conditions.streams
    columns = {
        "batch": batch,
        "in_channels": in_c,
        "out_channels": out_c,
        "in_per_group": seen,
        "groups": groups,
        "depthwise": ((groups > 1) & (seen == 1)).astype(np.float64),
        "reduction": seen * area,
        "positions": positions,
        "out_width": out_w,
        "out_width_over_block": out_w % _PIXELS,
        "kernel_area": area,
        "stride": np.maximum(1, np.round(in_h / np.maximum(out_h, 1))),
        "n_inputs": field("n_inputs"),
        "n_fused": field("n_fused"),
        "in_size": in_size,
        "out_size": out_size,
        "changes_precision": (in_size != out_size).astype(np.float64),
        # OpenVINO inserts a Reorder to change the precision or the memory layout. A kernel knows no layouts,
        # but a Reorder that keeps the precision can only be there for the layout.
        "changes_layout": np.array(
            [k.kind == "Reorder" and k.in_precision == k.out_precision for k in kernels], dtype=np.float64
        ),
        "log_macs": np.log1p(macs),
        "log_tiled_macs": np.log1p(tiled),
        "tile_use": np.divide(macs, tiled, out=np.ones_like(macs), where=tiled > 0),
        "log_in_bytes": np.log1p(in_bytes),
        "log_out_bytes": np.log1p(out_bytes),
        "log_weight_bytes": np.log1p(weight_bytes),
        "log_bytes": np.log1p(all_bytes),
        "log_intensity": np.log1p(macs) - np.log1p(all_bytes),
        "in_over_dot": seen % _DOT,
        "in_over_vector": seen % _VECTOR,
        "in_over_line": seen % _LINE,
        "out_over_vector": out_c % _VECTOR,
        "out_over_line": out_c % _LINE,
        "out_tiles": _up(out_c, _VECTOR) / _VECTOR,
        "out_lines": _up(out_c, _LINE) / _LINE,
        "in_tiles": _up(seen, _LINE) / _LINE,
        "dot_groups": _up(seen, _DOT) / _DOT,
        "log_weights_over_l1": np.log1p(weight_bytes) - np.log(l1),
        "log_weights_over_l2": np.log1p(weight_bytes) - np.log(l2),
        "log_input_over_l2": np.log1p(in_bytes) - np.log(l2),
        "log_all_over_l3": np.log1p(all_bytes) - np.log(l3),
        "weights_fit_l1": (weight_bytes <= l1).astype(np.float64),
        "weights_fit_l2": (weight_bytes <= l2).astype(np.float64),
        "all_fits_l2": (all_bytes <= l2).astype(np.float64),
        "all_fits_l3": (all_bytes <= l3).astype(np.float64),
        "threads_per_stream": np.full_like(batch, conditions.threads / conditions.streams),
        "streams": np.full_like(batch, conditions.streams),
    }
    for kind in _KINDS:
        columns[f"is_{kind.lower()}"] = np.array([k.kind == kind for k in kernels], dtype=np.float64)
    return columns


def _up(values: Floats, step: int) -> Floats:
    return np.ceil(values / step) * step


FEATURES = tuple(_columns([], Conditions(1, 1, 1, 1, 1)))
