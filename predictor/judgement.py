"""The figures of each predictor, how sure they are, and whether it beats the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.bootstrap import Difference, Interval, differences, intervals, resamples
from predictor.conformal import LEVEL, finite
from predictor.evaluation import Evaluation
from predictor.metrics import accuracy_of, resampled_accuracy
from predictor.registry import BASELINES
from predictor.regret import Regret, regret_of

__all__ = ["Decile", "Judgement", "by_study", "deciles", "judge"]

Floats = NDArray[np.float64]
# Fewer networks in a group say nothing of a coverage.
MIN_IN_GROUP = 5
_NOT_OF_NETWORKS = ("coverage", "width", "regret")


@dataclass(frozen=True)
class Decile:
    """The interval on one tenth of the test networks, by measured latency (microseconds)."""

    low_us: float
    high_us: float
    networks: int
    coverage: float
    width: float

    def to_json(self) -> dict[str, float]:
        """Its fields."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Judgement:
    """`values` are the metrics of `accuracy_of`, and `coverage` and median `width` of the interval;
    `spread` is the bootstrap interval of the headline ones. `against` has the paired differences to every
    other predictor that is a baseline. `regret` is None where no quality is known; else its mean is among the
    figures, too."""

    evaluation: Evaluation
    values: dict[str, float]
    spread: dict[str, Interval]
    against: dict[str, dict[str, Difference]]
    regret: Regret | None

    @property
    def name(self) -> str:
        """The predictor's."""
        return self.evaluation.name

    def beats(self, baseline: str, figures: Sequence[str] = ("mape", "kendall_tau")) -> bool:
        """Whether it is better in all these figures, beyond the bootstrap interval of the difference."""
        return all(self.against[baseline][figure].verdict == "better" for figure in figures)

    def to_json(self) -> dict[str, Any]:
        """All of it; NaN and infinite figures are None."""
        own = self.evaluation
        metrics = {k: v for k, v in self.values.items() if k not in _NOT_OF_NETWORKS}
        known = own.knows_kernels
        return {
            "network": metrics,
            "network_interval": {k: v.to_json() for k, v in self.spread.items() if k in metrics},
            "interval": {
                "level": LEVEL,
                "coverage": self.values["coverage"],
                "coverage_interval": self.spread["coverage"].to_json(),
                "width": finite(self.values["width"]),
                "studies": by_study(own),
                "deciles": [{k: finite(v) for k, v in d.to_json().items()} for d in deciles(own)],
            },
            "against": {
                other: {name: d.to_json() for name, d in found.items() if finite(d.value) is not None}
                for other, found in self.against.items()
            },
            "regret": None if self.regret is None else self.regret.to_json(),
            "kernel": accuracy_of(own.kernel_measured, own.kernel_predicted) if known else None,
            "architectures_per_s": own.architectures_per_s,
        }


def judge(
    evaluations: Sequence[Evaluation],
    quality: Floats | None = None,
    *,
    seed: int = 0,
    baselines: Sequence[str] = BASELINES,
) -> list[Judgement]:
    """One judgement each, on the same resamples of the test networks. `quality`, of shape (n_test,), is
    what a search would hold against latency; NaN where it is not known."""
    measured = evaluations[0].measured
    indices = resamples(len(measured), seed=seed)
    values = {e.name: _values(e) for e in evaluations}
    figures = {e.name: _resampled(e, indices) for e in evaluations}
    regrets = {} if quality is None else _regrets(evaluations, quality, seed)
    for name, found in regrets.items():
        values[name]["regret"] = found.mean
        figures[name]["regret"] = found.regret[resamples(len(found.regret), seed=seed)].mean(axis=1)
    return [
        Judgement(
            e,
            values[e.name],
            intervals(figures[e.name]),
            _against(e.name, values, figures, baselines),
            regrets.get(e.name),
        )
        for e in evaluations
    ]


def by_study(evaluation: Evaluation) -> dict[str, dict[str, float | None]]:
    """Networks, coverage and median width of each study's interval; empty unless there are several."""
    studies = np.array(evaluation.studies)
    names = list(dict.fromkeys(evaluation.studies))
    return {
        name: {
            "networks": int((studies == name).sum()),
            "coverage": float(evaluation.covered[studies == name].mean()),
            "width": finite(float(np.median(evaluation.width[studies == name]))),
        }
        for name in (names if len(names) > 1 else ())
    }


def deciles(evaluation: Evaluation) -> list[Decile]:
    """Tenths of the test networks by measured latency; fewer groups where a tenth would hold less than
    five networks."""
    order = np.argsort(evaluation.measured, kind="stable")
    n_groups = int(np.clip(len(order) // MIN_IN_GROUP, 1, 10))
    return [
        Decile(
            float(evaluation.measured[group].min()),
            float(evaluation.measured[group].max()),
            len(group),
            float(evaluation.covered[group].mean()),
            float(np.median(evaluation.width[group])),
        )
        for group in np.array_split(order, n_groups)
    ]


def _regrets(evaluations: Sequence[Evaluation], quality: Floats, seed: int) -> dict[str, Regret]:
    known = np.isfinite(quality)
    if not known.any():
        return {}
    return {
        e.name: regret_of(e.measured[known], e.predicted[known], quality[known], seed=seed)
        for e in evaluations
    }


def _values(evaluation: Evaluation) -> dict[str, float]:
    return {
        **accuracy_of(evaluation.measured, evaluation.predicted),
        "coverage": float(evaluation.covered.mean()),
        "width": float(np.median(evaluation.width)),
    }


def _resampled(evaluation: Evaluation, indices: NDArray[np.int64]) -> dict[str, Floats]:
    return {
        **resampled_accuracy(evaluation.measured, evaluation.predicted, indices),
        "coverage": evaluation.covered[indices].mean(axis=1),
    }


def _against(
    name: str,
    values: Mapping[str, dict[str, float]],
    figures: Mapping[str, dict[str, Floats]],
    baselines: Sequence[str],
) -> dict[str, dict[str, Difference]]:
    """To each baseline, but for the baselines themselves. Coverage has no better or worse."""
    if name in baselines:
        return {}
    ours = {k: v for k, v in figures[name].items() if k not in ("coverage", "width")}
    return {
        other: differences(ours, figures[other], values[name], values[other])
        for other in figures
        if other in baselines
    }
