"""How far a network of no known family may be from its prediction: kernels are held out, not networks.

Residuals of networks say nothing of another family's, whose kernels have shapes that no training network has.
Here each fold leaves out whole places (every kernel of the same kind, window and resolution, whatever its
channels), and each network is summed from predictions of kernels whose place was not learned from. This is
one step of a shift between groups (leave-one-cluster-out cross-validation, Meredig et al. 2018), and no
guarantee: another family may lie further off.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from predictor.base import KernelPredictor
from predictor.dataset import MIN_LEARNED, Dataset, Example
from predictor.network import Network
from profiling.kernel import Kernel

__all__ = ["FEWEST_PLACES", "out_of_place", "place_of"]

Floats = NDArray[np.float64]
FOLDS = 5
# With fewer places than this, leaving some out leaves nearly nothing to learn from.
FEWEST_PLACES = 5


def place_of(kernel: Kernel) -> Hashable:
    """What kernels that differ in their channels alone share."""
    is_depthwise = kernel.in_per_group == 1 < kernel.in_channels
    size = (kernel.in_height, kernel.in_width, kernel.out_height, kernel.out_width)
    return (kernel.kind, is_depthwise, kernel.kernel_height, kernel.kernel_width, *size)


def out_of_place(predictor: KernelPredictor, examples: Sequence[Example], *, seed: int = 0) -> Floats:
    """log(measured / predicted) of every example from clones that have not learned from its kernels' places,
    shape (n,). A network without the kernels held out takes their measured time less.

    Empty with fewer than FEWEST_PLACES places, and where a fold leaves nothing to learn from.
    """
    networks = Dataset.measured_networks(examples)
    measured = Dataset.latencies(examples)
    times = [np.array([k.time_us for k in e.record.kernels]) for e in examples]
    places = list(dict.fromkeys(place_of(k) for n in networks for k in n.kernels))
    if len(places) < FEWEST_PLACES:
        return np.empty(0)
    order = np.random.default_rng([seed, 7]).permutation(len(places))
    sums, overheads = np.zeros(len(examples)), []
    for fold in range(FOLDS):
        left_out = {places[i] for i in order[fold::FOLDS]}
        is_known = [np.array([place_of(k) not in left_out for k in n.kernels]) for n in networks]
        rest = np.array([m - t[~known].sum() for m, t, known in zip(measured, times, is_known, strict=True)])
        learned = [i for i, known in enumerate(is_known) if known.any() and rest[i] > 0]
        if len(learned) < MIN_LEARNED:
            return np.empty(0)
        fitted = clone(predictor).fit(
            [_of(networks[i], is_known[i]) for i in learned],
            rest[learned],
            [times[i][is_known[i]] for i in learned],
        )
        overheads.append(fitted.overhead_us_)
        asked = [_of(n, ~known) for n, known in zip(networks, is_known, strict=True)]
        sums += fitted.predict(asked) - fitted.overhead_us_
    residuals: Floats = np.log(measured / np.maximum(sums + np.mean(overheads), 1e-3 * measured))
    return residuals


def _of(network: Network, chosen: NDArray[np.bool_]) -> Network:
    """These kernels of a network alone."""
    kernels = tuple(k for k, is_chosen in zip(network.kernels, chosen, strict=True) if is_chosen)
    return replace(network, kernels=kernels)
