"""Intervals that hold the true latency with a wanted probability, whatever the predictor.

Split conformal prediction (Papadopoulos et al. 2002; Lei et al. 2018, Theorem 2.2) on the logarithm of
measured over predicted latency. The residuals are out of fold: each fold of networks is predicted by a
predictor that was fitted to the others, so each fold is a split conformal of its own, and their residuals
are pooled (Vovk's cross-conformal predictor, 2015).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import KFold

from predictor.base import LatencyPredictor
from predictor.dataset import Dataset, Example

__all__ = [
    "LEVEL",
    "by_study",
    "fewest_residuals",
    "finite",
    "half_width",
    "out_of_fold",
    "representative",
]

Floats = NDArray[np.float64]
LEVEL = 0.9
FOLDS = 5
# With fewer residuals than this, there is no interval of 90 % worth having.
FEWEST = 20


def out_of_fold(
    predictor: LatencyPredictor, examples: Sequence[Example], *, folds: int = FOLDS, seed: int = 0
) -> Floats:
    """log(measured / predicted) of every example by a clone that has not seen it, shape (n,)."""
    result = np.empty(len(examples))
    splits = KFold(min(folds, len(examples)), shuffle=True, random_state=seed)
    for learned, judged in splits.split(np.arange(len(examples))):
        fitted = Dataset.fit(clone(predictor), [examples[i] for i in learned])
        unseen = [examples[i] for i in judged]
        predicted = fitted.predict([e.network for e in unseen])
        # A linear baseline may predict nothing at all; one part in a thousand keeps its residual finite.
        measured = Dataset.latencies(unseen)
        result[judged] = np.log(measured / np.maximum(predicted, 1e-3 * measured))
    return result


def representative(residuals: Floats, examples: Sequence[Example]) -> Floats:
    """The residuals of the networks that were chosen to fill the space, as those are that a predictor is
    asked for. Extremes and networks that were chosen for being unsure are not exchangeable with them: they
    would make every interval too wide. All residuals where those are fewer than FEWEST."""
    chosen = np.array([e.record.chosen_as == "filling" for e in examples], dtype=bool)
    return residuals[chosen] if chosen.sum() >= FEWEST else residuals


def by_study(
    residuals: Floats, examples: Sequence[Example], known: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Floats]:
    """Each study's `representative` residuals: a predictor of several may know one better than another.

    `known`: by study, architectures that the predictor knew before it was fitted (the base of an adapted
    one); their residuals are too small, and are left out where FEWEST others remain.
    """
    result = {}
    for study in dict.fromkeys(e.study for e in examples):
        places = [i for i, e in enumerate(examples) if e.study == study]
        own = set((known or {}).get(study, ()))
        fresh = [i for i in places if str(examples[i].record.architecture) not in own]
        places = fresh if len(fresh) >= FEWEST else places
        result[study] = representative(residuals[places], [examples[i] for i in places])
    return result


def half_width(residuals: Sequence[float] | Floats, level: float = LEVEL) -> float:
    """The ceil((n + 1) level)-th smallest |residual|: an interval of that half-width around a logarithm holds
    the truth with probability >= level. Infinite where there are too few residuals.

    Raises ValueError unless 0 < level < 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"`0 < level < 1` must hold, but got level={level}")
    ordered = np.sort(np.abs(np.asarray(residuals, dtype=np.float64)))
    rank = math.ceil(round((len(ordered) + 1) * level, 9))
    return float(ordered[rank - 1]) if rank <= len(ordered) else math.inf


def fewest_residuals(level: float = LEVEL) -> int:
    """How many residuals a finite interval needs: the least n with ceil((n + 1) level) <= n."""
    return math.ceil(round(level / (1 - level), 9))


def finite(value: float) -> float | None:
    """For JSON, which has no infinity and no NaN."""
    return value if math.isfinite(value) else None
