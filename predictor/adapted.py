"""A predictor of other conditions (another CPU, thread count, mode or OpenVINO version), adapted with few
networks of the new ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

from predictor.base import KernelPredictor, plain_parameters
from predictor.boosted import BoostedPredictor
from predictor.features import FEATURES, feature_matrix
from predictor.network import Conditions, Network
from predictor.rates import LEAST_US
from predictor.registry import make_predictor, name_of
from profiling.kernel import Kernel
from supernet.errors import OvnasError

__all__ = ["AdaptedPredictor"]

Floats = NDArray[np.float64]
BASE = "base"
# What a change of conditions may depend on: a kernel's kind and where it lies between computing and moving.
_CHANGES = (
    "log_tiled_macs", "log_bytes", "log_weight_bytes", "log_in_bytes", "log_out_bytes", "log_intensity",
    "kernel_area", "depthwise", *(name for name in FEATURES if name.startswith("is_")),
)  # fmt: skip
_PLACES = [FEATURES.index(name) for name in _CHANGES]
_ALPHAS = (1.0, 10.0, 100.0, 1000.0)


class AdaptedPredictor(BoostedPredictor):
    """log latency = log `base`'s latency + a ridge regression on few features + strongly shrunk trees, both
    learned from the new networks, the trees jointly with their sums (see `predictor.boosted`).

    `base` is a fitted predictor, asked under the conditions that it was trained for (`base_conditions`; by
    default the new ones). It is never changed or fitted again.
    """

    def __init__(
        self,
        base: KernelPredictor | None = None,
        base_conditions: Conditions | None = None,
        n_estimators: int = 100,
        n_joint: int = 150,
        learning_rate: float = 0.05,
        max_depth: int = 2,
        reg_lambda: float = 20.0,
        bags: int = 3,
        sum_weight: float = 5.0,
        outlier: float = 0.02,
        seed: int = 0,
    ) -> None:
        self.base = base
        self.base_conditions = base_conditions
        self.n_estimators = n_estimators
        self.n_joint = n_joint
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.reg_lambda = reg_lambda
        self.bags = bags
        self.sum_weight = sum_weight
        self.outlier = outlier
        self.seed = seed

    def __sklearn_clone__(self) -> AdaptedPredictor:
        """With the same fitted base: scikit-learn would clone it too, without what it has learned."""
        return AdaptedPredictor(**self.get_params(deep=False))

    def fit(
        self, networks: Sequence[Network], latency_us: Floats, kernel_us: Sequence[Floats] | None = None
    ) -> Self:
        """Raises OvnasError without a base, and as every boosted predictor does."""
        if self.base is None:
            raise OvnasError("there is nothing to adapt; name a trained predictor with --from")
        return super().fit(networks, latency_us, kernel_us)

    def save(self, folder: Path) -> dict[str, Any]:
        assert self.base is not None
        (folder / BASE).mkdir()
        return {
            "overhead_us": self.overhead_us_,
            "scale": self.scale_,
            "base": {
                "predictor": name_of(self.base),
                "parameters": plain_parameters(self.base),
                "state": self.base.save(folder / BASE),
            },
            "base_conditions": None if self.base_conditions is None else self.base_conditions.to_json(),
            "mean": self.mean_.tolist(),
            "spread": self.spread_.tolist(),
            "intercept": self.intercept_,
            "coefficients": self.coefficients_.tolist(),
            "trees": self.trees_.save(folder),
        }

    def restore(self, folder: Path, state: dict[str, Any]) -> Self:
        base = make_predictor(state["base"]["predictor"]).set_params(**state["base"]["parameters"])
        restored = base.restore(folder / BASE, state["base"]["state"])
        if not isinstance(restored, KernelPredictor):
            raise TypeError("the base of an adapted predictor must predict kernels")
        self.base = restored
        where = state["base_conditions"]
        self.base_conditions = None if where is None else Conditions(**where)
        self.overhead_us_, self.scale_ = float(state["overhead_us"]), float(state["scale"])
        self.mean_, self.spread_ = np.array(state["mean"]), np.array(state["spread"])
        self.intercept_ = float(state["intercept"])
        self.coefficients_ = np.array(state["coefficients"])
        self.trees_ = self._new_trees().restore(folder, state["trees"], len(FEATURES))
        return self

    def _fit_margin(
        self, networks: Sequence[Network], features: Floats, times: Floats, weight: Floats
    ) -> None:
        before = np.concatenate([self._base_log_us(n.kernels, n.conditions) for n in networks])
        changes = features[:, _PLACES]
        self.mean_ = changes.mean(axis=0)
        self.spread_ = np.where(np.ptp(changes, axis=0) > 0, changes.std(axis=0), 1.0)
        standard = (changes - self.mean_) / self.spread_
        ridge = RidgeCV(_ALPHAS).fit(standard, np.log(times) - before, weight)
        self.intercept_, self.coefficients_ = float(ridge.intercept_), np.asarray(ridge.coef_)

    def _margin(self, kernels: Sequence[Kernel], conditions: Conditions) -> Floats:
        changes = feature_matrix(kernels, conditions)[:, _PLACES]
        change: Floats = self.intercept_ + (changes - self.mean_) / self.spread_ @ self.coefficients_
        return self._base_log_us(kernels, conditions) + change

    def _base_log_us(self, kernels: Sequence[Kernel], conditions: Conditions) -> Floats:
        assert self.base is not None
        latency = self.base.kernel_latency_us(kernels, self.base_conditions or conditions)
        # A linear base says nothing of a kernel without multiply-accumulates.
        return np.asarray(np.log(np.maximum(latency, LEAST_US)), dtype=np.float64)
