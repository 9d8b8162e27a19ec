"""What an evaluation would give, learned from those made so far: a Gaussian process on an architecture's
choices and its MACs, with uncertainty (Rasmussen & Williams 2006, chapters 2 and 5).

Its kernel is a sum of a linear and a squared-exponential one and noise. Their shares, the length scale, the
noise and the transform of the value are chosen together by leave-one-out cross-validation, which has a closed
form (equation 5.12), so that nothing depends on an optimiser's start.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.sizes import Sizes
from supernet.space import Space

__all__ = ["ACCURACY", "LATENCY", "Encoding", "Surrogate", "Transform", "fit_surrogate"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

CHUNK = 16_384
# Of the kernel: share of the squared exponential, its length over the median distance, noise over signal.
SHARES = (0.0, 0.2, 0.5, 0.9)
LENGTHS = (0.5, 1.0, 2.0, 4.0)
NOISES = (0.003, 0.02, 0.1, 0.4)


class Encoding:
    """Features of coded architectures: each slot's choice over its largest (0 inside a dropped block), the
    logarithm of MACs, and a one."""

    def __init__(self, space: Space, sizes: Sizes) -> None:
        self._space, self._macs = space, sizes.macs
        self._choices = [
            np.array(slot.choices, dtype=np.float32) / np.float32(slot.choices[-1] or 1)
            for slot in space.slots
        ]
        ends = np.array([space.encode(space.smallest), space.encode(space.largest)])
        low, high = np.log(np.maximum(self._macs.predict_codes(ends), 1))
        self._low, self._span = float(low), float(high - low) or 1.0

    def __call__(self, codes: Codes) -> Singles:
        """Shape (n, n_slots + 2)."""
        result = np.ones((len(codes), len(self._choices) + 2), dtype=np.float32)
        for i, (slot, values) in enumerate(zip(self._space.slots, self._choices, strict=True)):
            result[:, i] = values[codes[:, i]]
            if slot.block is not None:
                result[:, i] *= self._space.alive(slot.block, codes)
        macs = np.log(np.maximum(self._macs.predict_codes(codes), 1))
        result[:, -2] = (macs - self._low) / self._span
        return result


@dataclass(frozen=True)
class Transform:
    """A rising function that makes a value easier to learn, its inverse, and the slope of that, as a function
    of the value."""

    name: str
    forward: Callable[[Floats], Floats]
    backward: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]


_LEAST_ERROR = 2e-3
_PLAIN = Transform("plain", lambda v: v, lambda z: z, np.ones_like)
_ERROR = Transform(
    "log error",
    lambda v: -np.log(1 - v + _LEAST_ERROR),
    lambda z: 1 + _LEAST_ERROR - np.exp(-z),
    lambda v: np.maximum(1 - v + _LEAST_ERROR, 0.0),
)
_LOG = Transform("log", np.log, np.exp, lambda v: v)

ACCURACY = (_PLAIN, _ERROR)
LATENCY = (_LOG,)


@dataclass(frozen=True)
class Surrogate:
    """`predict` gives the mean, `deviation` the standard deviation of what an evaluation would give, noise
    not counted. `loo_error` is the weighted mean absolute error of leaving one out."""

    encoding: Encoding
    transform: Transform
    share: float
    length: float
    noise: float
    loo_error: float
    _centres: Singles
    _alpha: Floats
    _inverse: Floats
    _amplitude: float
    _mean: float
    _scale: float

    def predict(self, codes: Codes) -> Floats:
        """Shape (n,)."""
        result = np.empty(len(codes))
        linear = ((1 - self.share) * (self._centres.T @ self._alpha)).astype(np.float32)
        alpha = (self.share * self._alpha).astype(np.float32)
        for start in range(0, len(codes), CHUNK):
            features = self.encoding(codes[start : start + CHUNK])
            found = features @ linear
            if self.share:
                found = found + _near(features, self._centres, self.length) @ alpha
            result[start : start + CHUNK] = found
        return np.asarray(self.transform.backward(self._mean + self._scale * result), dtype=np.float64)

    def deviation(self, codes: Codes) -> Floats:
        """Shape (n,)."""
        features = self.encoding(codes)
        to_all = _kernel(features, self._centres, self.share, self.length).astype(np.float64)
        own = (1 - self.share) * np.square(features, dtype=np.float64).sum(axis=1) + self.share
        left = own - np.einsum("ij,jk,ik->i", to_all, self._inverse, to_all, optimize=True)
        spread = self._scale * np.sqrt(self._amplitude * np.maximum(left, 0.0))
        return np.asarray(spread * self.transform.slope(self.predict(codes)), dtype=np.float64)


def fit_surrogate(
    encoding: Encoding,
    codes: Codes,
    values: Floats,
    transforms: Sequence[Transform],
    weights: Floats | None = None,
) -> Surrogate:
    """Learns `values`, shape (n,), of `codes`. `weights`, (n,), say whose leave-one-out errors count more."""
    features = encoding(codes)
    weights = np.ones(len(values)) if weights is None else weights
    weights = weights / weights.sum()
    squared = _squared(features, features)
    distances = np.sqrt(squared[np.triu_indices(len(codes), 1)])
    typical = float(np.median(distances)) if len(distances) and np.median(distances) > 0 else 1.0
    best: Surrogate | None = None
    for share, relative in itertools.product(SHARES, LENGTHS):
        if share == 0 and relative != LENGTHS[0]:
            continue  # without the squared exponential there is no length
        length = relative * typical
        kernel = _kernel(features, features, share, length).astype(np.float64)
        for noise in NOISES:
            inverse = np.linalg.inv(kernel + noise * np.eye(len(codes))).astype(np.float64)
            for transform in transforms:
                z = transform.forward(values)
                mean, scale = float(z.mean()), float(z.std()) or 1.0
                y = (z - mean) / scale
                alpha = inverse @ y
                left_out = transform.backward(mean + scale * (y - alpha / np.diag(inverse)))
                error = float(weights @ np.abs(left_out - values))
                if best is None or error < best.loo_error * (1 - 1e-6):
                    amplitude = float(y @ alpha) / len(y)
                    best = Surrogate(
                        encoding, transform, share, length, noise, error, features, alpha, inverse,
                        amplitude, mean, scale,
                    )  # fmt: skip
    assert best is not None
    return best


def _kernel(one: Singles, other: Singles, share: float, length: float) -> Singles:
    result = np.float32(1 - share) * (one @ other.T)
    if share:
        result = result + np.float32(share) * _near(one, other, length)
    return result


def _near(one: Singles, other: Singles, length: float) -> Singles:
    """The squared exponential of distances, shape (n_one, n_other)."""
    result = _squared(one, other)
    result *= np.float32(-0.5 / length**2)
    return np.exp(result, out=result)


def _squared(one: Singles, other: Singles) -> Singles:
    result = one @ other.T
    result *= -2
    result += np.square(one).sum(axis=1)[:, None]
    result += np.square(other).sum(axis=1)[None, :]
    return np.asarray(np.maximum(result, 0, out=result), dtype=np.float32)
