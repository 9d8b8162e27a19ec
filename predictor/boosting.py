"""Gradient-boosted trees whose exponentials also meet given sums: kernels that add up to networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import xgboost
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from supernet.errors import OvnasError

__all__ = ["BoostedTrees", "Sums"]

Floats = NDArray[np.float64]
# XGBoost's threads wait for each other by spinning: where another process is busy, a fit of these few
# thousand rows takes a hundred times longer with two than with one.
THREADS = 1


@dataclass(frozen=True)
class Sums:
    """What the rows' exponentials add up to: `log(fixed + sum of exp(row))` of the rows of each network shall
    be `log_total`. `network` is each row's network, shape (n_rows,); `log_total` and `weight` have shape
    (n_networks,). An error of more than `outlier` counts linearly only."""

    network: NDArray[np.int64]
    log_total: Floats
    weight: Floats
    fixed: float
    outlier: float


class BoostedTrees(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """XGBoost (Chen & Guestrin, KDD 2016), the mean of `bags` models with seeds of their own.

    First `n_estimators` rounds of squared error on the rows. With `sums`, then `n_joint` rounds more on
    rows and sums together: sum_k w_k (p_k - y_k)^2 + sum_n W_n rho(log T_n - log_total_n), where T_n =
    fixed + sum_k exp(p_k) and rho is pseudo-Huber. The gradient by p_k holds W_n rho' s_k with the share
    s_k = exp(p_k) / T_n. Its Gauss-Newton Hessian is W_n s s^T; as the shares sum to at most 1, its
    diagonal upper bound (Jensen) is W_n s_k, which is what a tree's leaves need.
    """

    def __init__(
        self,
        n_estimators: int = 200,
        n_joint: int = 150,
        learning_rate: float = 0.05,
        max_depth: int = 4,
        subsample: float = 0.7,
        colsample_bytree: float = 0.5,
        reg_lambda: float = 1.0,
        bags: int = 3,
        seed: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.n_joint = n_joint
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.reg_lambda = reg_lambda
        self.bags = bags
        self.seed = seed

    def fit(
        self,
        X: ArrayLike,  # noqa: N803 (the name is scikit-learn's contract)
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        margin: Floats | None = None,
        sums: Sums | None = None,
    ) -> Self:
        """X of shape (n_rows, n_features), y (n_rows,). The trees learn what is left beyond `margin`, of
        shape (n_rows,), which must then be given to predict too."""
        rows, labels = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        weight = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
        self.mean_ = float(np.average(labels, weights=weight)) if margin is None else 0.0
        data = _matrix(rows, self._margin(rows, margin), label=labels, weight=weight)
        self.boosters_ = [self._fit_one(self.seed + i, data, labels, weight, sums) for i in range(self.bags)]
        return self

    def predict(self, X: ArrayLike, *, margin: Floats | None = None) -> Floats:  # noqa: N803
        """Shape (n_rows,)."""
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=np.float64)
        data = _matrix(rows, self._margin(rows, margin))
        bags = [booster.predict(data, output_margin=True) for booster in self.boosters_]
        result: Floats = np.mean(np.array(bags, dtype=np.float64), axis=0)
        return result

    def importance(self, names: Sequence[str]) -> dict[str, float]:
        """Each feature's share of the gain, largest first; those that no tree uses are left out."""
        gains = dict.fromkeys(names, 0.0)
        for booster in self.boosters_:
            for key, gain in booster.get_score(importance_type="total_gain").items():
                gains[names[int(key[1:])]] += gain
        total = sum(gains.values()) or 1.0
        return {n: gain / total for n, gain in sorted(gains.items(), key=lambda i: -i[1]) if gain > 0}

    def save(self, folder: Path) -> list[str]:
        """Writes one file of XGBoost's own format a bag into `folder`; returns their names."""
        names = [f"model-{i}.ubj" for i in range(len(self.boosters_))]
        for name, booster in zip(names, self.boosters_, strict=True):
            booster.save_model(folder / name)
        return names

    def restore(self, folder: Path, names: Sequence[str], n_features: int) -> Self:
        """Reads what `save` wrote for a fit with a margin. Raises OvnasError for a damaged file."""
        self.boosters_ = []
        for name in names:
            booster = xgboost.Booster({"nthread": THREADS})
            try:
                booster.load_model(folder / name)
            except xgboost.core.XGBoostError:
                raise OvnasError(f"{folder / name} is missing or damaged; train again") from None
            self.boosters_.append(booster)
        self.mean_, self.n_features_in_ = 0.0, n_features
        return self

    def _margin(self, rows: Floats, margin: Floats | None) -> Floats:
        return np.full(len(rows), self.mean_) if margin is None else margin

    def _fit_one(
        self, seed: int, data: xgboost.DMatrix, y: Floats, weight: Floats, sums: Sums | None
    ) -> xgboost.Booster:
        parameters = {
            "tree_method": "hist",
            "max_bin": 64,
            "base_score": 0.0,
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample_bytree,
            "reg_lambda": self.reg_lambda,
            "min_child_weight": 0.0,
            "seed": seed,
            "nthread": THREADS,
        }
        booster = xgboost.train(parameters, data, self.n_estimators)
        if sums is None or self.n_joint == 0:
            return booster

        def objective(margins: Floats, _: xgboost.DMatrix) -> tuple[Floats, Floats]:
            return _joint(np.asarray(margins, dtype=np.float64), y, weight, sums)

        own = {**parameters, "disable_default_eval_metric": True}
        return xgboost.train(own, data, self.n_joint, obj=objective, xgb_model=booster)


def _joint(margins: Floats, y: Floats, weight: Floats, sums: Sums) -> tuple[Floats, Floats]:
    """Half the gradient of the joint loss by each row, and half its Hessian's diagonal bound."""
    latency = np.exp(margins)
    total = sums.fixed + np.bincount(sums.network, latency, len(sums.log_total))
    error = np.log(total) - sums.log_total
    slope = sums.weight / np.sqrt(1 + (error / sums.outlier) ** 2)
    share = latency / total[sums.network]
    gradient = (slope * error)[sums.network] * share + weight * (margins - y)
    hessian = slope[sums.network] * share + weight
    return gradient, hessian


def _matrix(features: Floats, margin: Floats, **options: Floats) -> xgboost.DMatrix:
    return xgboost.DMatrix(features, base_margin=margin, nthread=THREADS, **options)
