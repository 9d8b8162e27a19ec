"""What a search maximises beside speed: accuracy really evaluated, or a declared stand-in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from search.certainty import error_of_share
from search.evaluations import Evaluations
from supernet.architecture import Architecture
from supernet.space import Space

if TYPE_CHECKING:
    from torch import nn

    from supernet.batchnorm import Reestimator
    from supernet.data import Images, Splits

__all__ = ["Macs", "Quality", "ValidationAccuracy"]


class Quality(ABC):
    """Higher is better. `is_accuracy` is False for a stand-in, which reports must declare; `is_known` if
    `of_codes` gives it for millions at once."""

    name: str
    is_accuracy: bool
    is_known: bool = False

    @abstractmethod
    def of(self, architecture: Architecture) -> float:
        """The quality of one architecture."""

    def of_codes(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of many, shape (n,), where it is known without evaluating."""
        raise NotImplementedError

    def standard_error(self, quality: float) -> float:
        """Of a quality, from the number of images that it was judged on; 0 where it is exact."""
        return 0.0


class Macs(Quality):
    """Multiply-accumulates, for a study without data."""

    name = "million MACs (stand-in: accuracy not measured)"
    is_accuracy = False
    is_known = True

    def __init__(self, space: Space) -> None:
        self.space = space

    def of(self, architecture: Architecture) -> float:
        return self.space.macs(architecture) / 1e6

    def of_codes(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.space.macs_of(codes) / 1e6


class ValidationAccuracy(Quality):
    """Top-1 on a fixed part of the validation split with BatchNorm re-estimated, as a fraction.

    `n_images` of the split, evenly spread, are judged on (0: all). Kept in a SQLite file under digests of the
    super-network, of these images and of those that BatchNorm is re-estimated on: an architecture is
    evaluated once.
    """

    name = "validation top-1"
    is_accuracy = True

    def __init__(
        self,
        reestimator: Reestimator,
        splits: Splits,
        weights: Path,
        cache: Path,
        *,
        n_images: int = 0,
    ) -> None:
        from search.images import evenly, fingerprint
        from supernet.checkpoint import digest

        self.reestimator = reestimator
        self.images = evenly(splits.validation, n_images)
        self.n_images = len(self.images)  # type: ignore[arg-type]
        self.key = f"{digest(weights)[:16]}-{fingerprint(self.images, reestimator.images)}"
        self.evaluations = Evaluations(cache)

    def of(self, architecture: Architecture) -> float:
        from supernet.int8 import fold_batchnorm
        from supernet.resized import images_of

        def judge() -> float:
            space = self.reestimator.network.space
            images = images_of(space, architecture, self.images)
            return _accuracy(fold_batchnorm(self.reestimator.extract(architecture)), images)

        return self._kept(str(architecture), judge)

    def of_pretrained(self, model: nn.Module) -> float:
        """The pre-trained model's. In FP32, as the sub-networks' is: quantisation costs both of them."""
        return self._kept("pre-trained", lambda: _accuracy(model, self.images))

    def _kept(self, name: str, judge: Callable[[], float]) -> float:
        known = self.evaluations.get("accuracy", self.key, name)
        if known is None:
            known = judge()
            self.evaluations.put("accuracy", self.key, name, known)
        return known

    def standard_error(self, quality: float) -> float:
        return error_of_share(quality, self.n_images)


def _accuracy(module: nn.Module, images: Images) -> float:
    import torch

    from supernet.training import accuracy

    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # in place; faster on CPUs
    return accuracy(module, images)
