"""The published baseline: ridge regression on the one-hot choices of an architecture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from predictor.axes import every_index, plain_axis
from predictor.base import LatencyPredictor
from predictor.network import Conditions, Network
from predictor.tables import Tables
from profiling.plan import Plan
from supernet.errors import OvnasError

__all__ = ["RidgePredictor"]

Floats = NDArray[np.float64]


class RidgePredictor(LatencyPredictor):
    """One model a space: `base_us` + one coefficient for each choice of each slot. Errors count relatively;
    the penalty is the best of scikit-learn's RidgeCV."""

    def fit(
        self, networks: Sequence[Network], latency_us: Floats, kernel_us: Sequence[Floats] | None = None
    ) -> Self:
        """Raises OvnasError for a network that is no member of a space."""
        spaces = [_space_of(n) for n in networks]
        latency = np.asarray(latency_us, dtype=np.float64)
        self.base_us_: dict[str, float] = {}
        self.coefficients_: dict[str, list[dict[int, float]]] = {}
        for space in dict.fromkeys(spaces):
            places = [i for i, own in enumerate(spaces) if own == space]
            codes, own = np.array([networks[i].codes for i in places]), latency[places]
            model = Pipeline(
                [
                    ("encode", OneHotEncoder(sparse_output=False)),
                    ("ridge", RidgeCV(alphas=np.logspace(-4, 2, 13))),
                ]
            ).fit(codes, own, ridge__sample_weight=(own.mean() / own) ** 2)
            self.base_us_[space] = float(model["ridge"].intercept_)
            values = iter(model["ridge"].coef_.tolist())
            self.coefficients_[space] = [
                {int(code): float(next(values)) for code in found} for found in model["encode"].categories_
            ]
        return self

    def predict(self, networks: Sequence[Network]) -> Floats:
        """Raises OvnasError for a network of a space that it has not learned."""
        return np.array([self._one(n) for n in networks], dtype=np.float64)

    def tables(self, plan: Plan, conditions: Conditions) -> Tables:
        """A choice inside a block counts as the canonical one where the block is dropped."""
        space = plan.space
        coefficients = self._of(space.fingerprint)
        parts = []
        for slot, found in enumerate(coefficients):
            block = space.slots[slot].block
            slots = sorted({slot} if block is None else {slot, block.slot})
            axes = tuple(plain_axis(space, s) for s in slots)
            codes = space.canonical(every_index(space, axes))
            values = np.array([found.get(int(code), 0.0) for code in codes[:, slot]])
            parts.append((axes, values.reshape([axis.size for axis in axes])))
        return Tables(self.base_us_[space.fingerprint], tuple(parts))

    def save(self, folder: Path) -> dict[str, Any]:
        coefficients = {
            space: [{str(code): value for code, value in found.items()} for found in slots]
            for space, slots in self.coefficients_.items()
        }
        return {"base_us": self.base_us_, "coefficients": coefficients}

    def restore(self, folder: Path, state: dict[str, Any]) -> Self:
        self.base_us_ = {space: float(value) for space, value in state["base_us"].items()}
        self.coefficients_ = {
            space: [{int(code): float(value) for code, value in found.items()} for found in slots]
            for space, slots in state["coefficients"].items()
        }
        return self

    def _one(self, network: Network) -> float:
        space = _space_of(network)
        coefficients = self._of(space)
        values = (found.get(code, 0.0) for found, code in zip(coefficients, network.codes, strict=True))
        return self.base_us_[space] + sum(values)

    def _of(self, space: str) -> list[dict[int, float]]:
        if space not in self.coefficients_:
            raise OvnasError(
                f"ridge knows only the spaces that it was trained on, but got {space}; take a predictor of "
                "kernels (xgb)"
            )
        return self.coefficients_[space]


def _space_of(network: Network) -> str:
    if not network.space:
        raise OvnasError(
            "ridge knows only architectures of a space, but got a network without codes; take a predictor of "
            "kernels (xgb)"
        )
    return network.space
