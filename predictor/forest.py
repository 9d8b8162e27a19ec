"""nn-Meter's way: one random forest for each kind of kernel, summed (Zhang et al., MobiSys 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import RandomForestRegressor
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from predictor.base import KernelPredictor, kernel_rows, sums_to_latency
from predictor.features import feature_matrix, network_features
from predictor.network import Conditions, Network
from profiling.kernel import Kernel

__all__ = ["ForestPredictor", "PlainForest"]

Floats = NDArray[np.float64]
FILE = "forests.npz"
_ARRAYS = ("roots", "left", "right", "feature", "threshold", "value")


class PlainForest(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """scikit-learn's random forest, kept as plain arrays so that its file needs no pickle.

    `roots_` are the trees' first nodes; of every node, `left_` and `right_` are its children (-1 for a
    leaf), taken by `feature_` <= `threshold_`, and `value_` is its mean.
    """

    def __init__(self, n_estimators: int = 100, min_samples_leaf: int = 1, seed: int = 0) -> None:
        self.n_estimators = n_estimators
        self.min_samples_leaf = min_samples_leaf
        self.seed = seed

    def fit(
        self,
        X: ArrayLike,  # noqa: N803 (the name is scikit-learn's contract)
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """X of shape (n_rows, n_features), y (n_rows,)."""
        rows, labels = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
        forest = RandomForestRegressor(
            self.n_estimators,
            min_samples_leaf=self.min_samples_leaf,
            max_features=1 / 3,
            random_state=self.seed,
        ).fit(rows, labels, weight)
        trees = [one.tree_ for one in forest.estimators_]
        self.roots_ = np.cumsum([0, *(t.node_count for t in trees[:-1])])

        def children(name: str) -> NDArray[np.int64]:
            found = [getattr(t, name) for t in trees]
            return np.concatenate(
                [np.where(c < 0, -1, c + root) for c, root in zip(found, self.roots_, strict=True)]
            )

        self.left_, self.right_ = children("children_left"), children("children_right")
        self.feature_ = np.concatenate([t.feature for t in trees])
        self.threshold_ = np.concatenate([t.threshold for t in trees])
        self.value_ = np.concatenate([t.value[:, 0, 0] for t in trees])
        return self

    def predict(self, X: ArrayLike) -> Floats:  # noqa: N803
        """Shape (n_rows,)."""
        check_is_fitted(self)
        # scikit-learn's trees compare in single precision.
        asked = validate_data(self, X, reset=False, dtype=np.float64).astype(np.float32)
        nodes = np.tile(self.roots_[:, None], (1, len(asked)))
        rows = np.broadcast_to(np.arange(len(asked)), nodes.shape)
        inner = self.left_[nodes] >= 0
        while inner.any():
            here, row = nodes[inner], rows[inner]
            goes_left = asked[row, self.feature_[here]] <= self.threshold_[here]
            nodes[inner] = np.where(goes_left, self.left_[here], self.right_[here])
            inner = self.left_[nodes] >= 0
        return np.asarray(self.value_[nodes].mean(axis=0), dtype=np.float64)


class ForestPredictor(KernelPredictor):
    """One `PlainForest` a kind of kernel on its features; a kind that was never seen takes the forest of
    all."""

    def __init__(self, n_estimators: int = 100, min_samples_leaf: int = 1, seed: int = 0) -> None:
        self.n_estimators = n_estimators
        self.min_samples_leaf = min_samples_leaf
        self.seed = seed

    def fit(
        self, networks: Sequence[Network], latency_us: Floats, kernel_us: Sequence[Floats] | None = None
    ) -> Self:
        times, network = kernel_rows(networks, kernel_us)
        latency = np.asarray(latency_us, dtype=np.float64)
        self.overhead_us_, scale = sums_to_latency(times, network, latency)
        features = network_features(networks)
        kinds = np.array([k.kind for n in networks for k in n.kernels])
        self.forests_ = {
            kind: self._forest().fit(features[kinds == kind], scale * times[kinds == kind])
            for kind in sorted(set(kinds.tolist()))
        }
        self.forests_["any"] = self._forest().fit(features, scale * times)
        return self

    def kernel_latency_us(self, kernels: Sequence[Kernel], conditions: Conditions) -> Floats:
        result = np.empty(len(kernels))
        features = feature_matrix(kernels, conditions)
        kinds = np.array([k.kind if k.kind in self.forests_ else "any" for k in kernels])
        for kind in sorted(set(kinds.tolist())):
            result[kinds == kind] = self.forests_[kind].predict(features[kinds == kind])
        return result

    def save(self, folder: Path) -> dict[str, Any]:
        arrays = {
            f"{kind}.{name}": getattr(forest, f"{name}_")
            for kind, forest in self.forests_.items()
            for name in _ARRAYS
        }
        np.savez_compressed(folder / FILE, **arrays)
        n_features = self.forests_["any"].n_features_in_
        return {"overhead_us": self.overhead_us_, "kinds": list(self.forests_), "n_features": n_features}

    def restore(self, folder: Path, state: dict[str, Any]) -> Self:
        self.overhead_us_ = float(state["overhead_us"])
        self.forests_ = {}
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            for kind in state["kinds"]:
                forest = self.forests_[kind] = self._forest()
                for name in _ARRAYS:
                    setattr(forest, f"{name}_", arrays[f"{kind}.{name}"])
                forest.n_features_in_ = int(state["n_features"])
        return self

    def _forest(self) -> PlainForest:
        return PlainForest(self.n_estimators, self.min_samples_leaf, self.seed)
