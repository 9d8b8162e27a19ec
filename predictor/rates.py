"""A kernel's time as a sum of what it computes and what it moves, with this machine's own rates.

The starting point of the boosted trees: trees alone are constant beyond the shapes that they have seen.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from predictor.features import FEATURES

__all__ = ["LEAST_US", "Rates"]

Floats = NDArray[np.float64]
_PLACE = {name: i for i, name in enumerate(FEATURES)}
_KINDS = [i for name, i in _PLACE.items() if name.startswith("is_")]
# Millions of multiply-accumulates as executed and as written, and 100 kB read, written and of weights.
_TERMS = {"log_tiled_macs": 1e-6, "log_macs": 1e-6, "log_in_bytes": 1e-5, "log_out_bytes": 1e-5,
          "log_weight_bytes": 1e-5}  # fmt: skip
LEAST_US = 0.05


class Rates:
    """Times are non-negative combinations of `_TERMS`, of tiles of output and of a constant, one combination
    for each class of kernels (its kind, pointwise or not, depthwise or not).

    A class that was never seen takes the combination of all kernels. Additive in place of the roofline
    model's maximum (Williams et al. 2009): the sum is what non-negative least squares can fit.
    """

    def fit(self, features: Floats, time_us: Floats, weight: Floats) -> Self:
        """Least squares of relative errors; features of shape (n, n_features), the others (n,)."""
        classes = _classes(features)
        self.by_class_ = {str(c): _rates(features, time_us, weight, classes == c) for c in np.unique(classes)}
        self.by_class_["any"] = _rates(features, time_us, weight, np.ones(len(classes), dtype=bool))
        return self

    def predict(self, features: Floats) -> Floats:
        """Microseconds, at least LEAST_US, shape (n,)."""
        result = np.empty(len(features))
        terms, classes = _terms(features), _classes(features)
        for c in np.unique(classes):
            chosen = classes == c
            result[chosen] = terms[chosen] @ self.by_class_.get(str(c), self.by_class_["any"])
        return np.maximum(result, LEAST_US)

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` reads back."""
        return {name: rates.tolist() for name, rates in self.by_class_.items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Rates:
        """Reads `to_json`'s value."""
        result = cls()
        result.by_class_ = {name: np.array(rates, dtype=np.float64) for name, rates in value.items()}
        return result


def _rates(features: Floats, time_us: Floats, weight: Floats, chosen: NDArray[np.bool_]) -> Floats:
    scale = np.sqrt(weight[chosen]) / time_us[chosen]
    rates, _ = nnls(_terms(features[chosen]) * scale[:, None], time_us[chosen] * scale)
    return np.asarray(rates, dtype=np.float64)


def _terms(features: Floats) -> Floats:
    columns = [np.expm1(features[:, _PLACE[name]]) * unit for name, unit in _TERMS.items()]
    tiles = features[:, _PLACE["positions"]] * features[:, _PLACE["out_tiles"]] * 1e-5
    return np.stack([np.ones(len(features)), *columns, tiles], axis=1)


def _classes(features: Floats) -> NDArray[np.int64]:
    is_kind = features[:, _KINDS]
    kind = np.where(is_kind.any(axis=1), np.argmax(is_kind, axis=1), len(_KINDS))
    is_wide = features[:, _PLACE["kernel_area"]] > 1
    is_depthwise = features[:, _PLACE["depthwise"]] > 0
    return np.asarray(4 * kind + 2 * is_depthwise + is_wide, dtype=np.int64)
