"""Hyper-parameters by cross-validation over networks: no network's rows are on both sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, ParameterSampler

from predictor.base import LatencyPredictor
from predictor.dataset import Dataset, Example
from supernet.errors import OvnasError

__all__ = ["N_CANDIDATES", "Trial", "candidates_of", "tune"]

Floats = NDArray[np.float64]
N_CANDIDATES = 20
FOLDS = 5


@dataclass(frozen=True)
class Trial:
    """One set of parameters and, in the examples' order, the absolute log error of each network when it was
    left out: the same networks for every trial, so that differences are paired."""

    parameters: dict[str, Any]
    errors: tuple[float, ...]

    @property
    def error(self) -> float:
        """Their mean."""
        return float(np.mean(self.errors))

    def to_json(self) -> dict[str, Any]:
        """Its parameters and its mean error."""
        return {"parameters": self.parameters, "error": self.error}


def tune(
    predictor: LatencyPredictor,
    examples: Sequence[Example],
    *,
    n_candidates: int = N_CANDIDATES,
    seed: int = 0,
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> list[Trial]:
    """Random search (Bergstra & Bengio 2012) over the predictor's `CANDIDATES`, its own parameters first;
    best first. Networks are left out by architecture: a group is never split.

    Raises OvnasError for a predictor without candidates and for fewer architectures than folds.
    """
    space = candidates_of(predictor)
    keys = [(e.study, e.network.codes) for e in examples]
    groups = [list(dict.fromkeys(keys)).index(key) for key in keys]
    if len(set(groups)) < FOLDS:
        raise OvnasError(f"tuning needs at least {FOLDS} architectures, but got {len(set(groups))}")
    splits = GroupKFold(FOLDS, shuffle=True, random_state=seed).split(groups, groups=groups)
    folds = [(learned.tolist(), judged.tolist()) for learned, judged in splits]
    own = {name: predictor.get_params()[name] for name in space}
    sampled = ParameterSampler(space, max(0, n_candidates - 1), random_state=seed)
    trials = []
    for parameters in [own, *(p for p in sampled if p != own)]:
        model = clone(predictor).set_params(**parameters)
        errors = np.empty(len(examples))
        for learned, judged in folds:
            errors[judged] = _errors(model, [examples[i] for i in learned], [examples[i] for i in judged])
        trial = Trial(parameters, tuple(errors.tolist()))
        on_trial(trial)
        trials.append(trial)
    return sorted(trials, key=lambda trial: trial.error)


def candidates_of(predictor: LatencyPredictor) -> dict[str, tuple[Any, ...]]:
    """What there is to choose from, by parameter. Raises OvnasError for a predictor without any."""
    space: dict[str, tuple[Any, ...]] | None = getattr(predictor, "CANDIDATES", None)
    if not space:
        raise OvnasError(f"{type(predictor).__name__} has no parameters to tune; leave out --tune")
    return space


def _errors(model: LatencyPredictor, learned: Sequence[Example], judged: Sequence[Example]) -> Floats:
    predicted = Dataset.fit(clone(model), learned).predict([e.network for e in judged])
    errors: Floats = np.abs(np.log(predicted / Dataset.latencies(judged)))
    return errors
