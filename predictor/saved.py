"""Predictors on disk: a folder with card.json and the kind's own files (trees, arrays). No pickle."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from predictor.base import LatencyPredictor, plain_parameters
from predictor.compiled import CompiledPredictor
from predictor.conformal import LEVEL, half_width
from predictor.dataset import Example
from predictor.features import FEATURES
from predictor.network import Conditions, Network
from predictor.registry import ADAPTED, PREDICTORS, make_predictor
from profiling.machine import describe_setting_difference
from profiling.plan import Plan
from supernet.architecture import Architecture
from supernet.errors import OvnasError, nearest

if TYPE_CHECKING:
    from profiling.target import Target

__all__ = ["SavedPredictor", "data_hash", "load", "save"]

# 1: first.
# 2: plans by study in place of one plan; conditions, residuals of the interval, libraries' versions.
# 3: residuals by study; what the base of an adapted predictor was trained on.
# 4: residuals of kernels held out, for networks of no study.
# 5: learned from measurements of schema 3.
SCHEMA_VERSION = 5
CARD = "card.json"
_LIBRARIES = ("numpy", "scikit-learn", "xgboost", "xgboost-cpu", "openvino")


@dataclass(frozen=True)
class SavedPredictor:
    """A trained predictor of one or more spaces on one machine for one target.

    `name` is what it was saved as, `plans` are by study, `card` is its card.json.
    """

    name: str
    plans: dict[str, Plan]
    predictor: LatencyPredictor
    card: dict[str, Any]
    conditions: Conditions

    @property
    def plan(self) -> Plan:
        """The first study's."""
        return next(iter(self.plans.values()))

    def plan_of(self, study: str | None) -> Plan:
        """A study's plan, the first one without a name. Raises OvnasError for a study it was not trained
        on."""
        if study is None:
            return self.plan
        if study not in self.plans:
            known = ", ".join(self.plans)
            raise OvnasError(f"predictor {self.name!r} was not trained on study {study!r}; it knows: {known}")
        return self.plans[study]

    def predict(self, architectures: Iterable[Architecture], study: str | None = None) -> NDArray[np.float64]:
        """Latency in microseconds of a study's architectures, shape (n_architectures,)."""
        plan = self.plan_of(study)
        return self.predict_networks([Network.planned(plan, a, self.conditions) for a in architectures])

    def predict_networks(self, networks: Sequence[Network]) -> NDArray[np.float64]:
        """Latency in microseconds, shape (n_networks,)."""
        return self.predictor.predict(networks)

    def interval(
        self, latency_us: NDArray[np.float64], level: float | None = None, study: str | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper ends in microseconds around predictions, in their shape: each holds the measured
        latency of a network of `study` with probability `level`, LEVEL by default (see
        `predictor.conformal`). Without a study the widest of all, among them that of kernels held out (see
        `predictor.unlike`), which for other networks promises nothing. Raises OvnasError for a study it was
        not trained on."""
        wanted = LEVEL if level is None else level
        if study is None:
            known = [*self.card["residuals"].values(), *filter(len, self.card["unlike_residuals"].values())]
        else:
            self.plan_of(study)
            known = [self.card["residuals"][study]]
        width = np.exp(max(half_width(residuals, wanted) for residuals in known))
        latency = np.asarray(latency_us, dtype=np.float64)
        return latency / width, latency * width

    def compiled(self, study: str | None = None) -> CompiledPredictor:
        """For millions of architectures."""
        return CompiledPredictor(self.plan_of(study), self.predictor, self.conditions)

    def require(self, machine: dict[str, Any], target: Target) -> None:
        """Raises OvnasError unless it was trained on this machine for this target."""
        difference = describe_setting_difference(self.card, {"machine": machine, "target": target})
        if difference:
            raise OvnasError(
                f"predictor {self.name!r} was trained elsewhere ({difference}); collect and train here"
            )


def data_hash(examples: Sequence[Example]) -> str:
    """A short hash of the measurements."""
    rows = ((e.study, str(e.record.architecture), round(e.record.latency_us, 4)) for e in examples)
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()[:16]


def save(
    name: str,
    predictor: LatencyPredictor,
    plans: dict[str, Plan],
    examples: Sequence[Example],
    facts: dict[str, Any],
    folder: Path,
    *,
    residuals: Mapping[str, Sequence[float] | NDArray[np.float64]] | None = None,
    unlike_residuals: Mapping[str, Sequence[float] | NDArray[np.float64]] | None = None,
) -> None:
    """Writes `folder` whole or not at all. `name` is the registered kind; `facts` must hold machine and
    target; `residuals` are the intervals', by study, and `unlike_residuals` those for networks of none."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        state = predictor.save(new)
        learned = {
            study: [str(e.record.architecture) for e in examples if e.study == study] for study in plans
        }
        card = {
            "schema_version": SCHEMA_VERSION,
            "name": folder.name,
            "predictor": name,
            "parameters": plain_parameters(predictor),
            "features": list(FEATURES),
            "state": state,
            "files": {str(file.relative_to(new)): _hash(file) for file in _files(new)},
            "data_hash": data_hash(examples),
            "train_architectures": learned,
            "conditions": Conditions.of(facts["machine"], facts["target"]).to_json(),
            "residuals": {study: [float(r) for r in (residuals or {}).get(study, ())] for study in plans},
            "unlike_residuals": {s: [float(r) for r in own] for s, own in (unlike_residuals or {}).items()},
            "versions": _versions(),
            **facts,
            "plans": {study: plan.to_json() for study, plan in plans.items()},
        }
        (new / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        new.rename(folder)


def load(path: Path | str) -> SavedPredictor:
    """Reads a predictor's folder.

    Raises OvnasError if it is missing, damaged, of another schema or made for other features.
    """
    folder = Path(path)
    file = folder / CARD
    if not file.is_file():
        there = [file.parent.name for file in folder.parent.glob(f"*/{CARD}")]
        if there and folder.name not in PREDICTORS:
            raise OvnasError(
                f"there is no predictor {folder.name!r} in {folder.parent}{nearest(folder.name, there)}"
            )
        how = f"--predictor {folder.name}" if folder.name in PREDICTORS else f"--name {folder.name}"
        how = "--from PREDICTOR_FOLDER" if folder.name == ADAPTED else how
        raise OvnasError(
            f"there is no predictor at {folder}; make it with",
            command=f"predictor.train {how}",
        )
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
        version = card["schema_version"]
        if version != SCHEMA_VERSION:
            raise OvnasError(
                f"{file} has schema {version}, but this version reads {SCHEMA_VERSION}; train again"
            )
        features, kind = card["features"], card["predictor"]
        if features != list(FEATURES):
            differing = ", ".join(sorted(set(features) ^ set(FEATURES))) or "another order"
            raise OvnasError(f"{file} was trained on other features ({differing}); train again")
        conditions = Conditions.of(card["machine"], card["target"])
        if card["conditions"] != conditions.to_json():
            raise OvnasError(f"{file} has conditions that are not its machine's and target's; train again")
        card["data_hash"]
        for study in card["plans"]:
            [float(r) for r in card["residuals"][study]]
        for own in card["unlike_residuals"].values():
            [float(r) for r in own]
        for other, expected in card["files"].items():
            # Not left to XGBoost: on some damaged files it ends the process.
            if not (folder / other).is_file() or _hash(folder / other) != expected:
                raise OvnasError(f"{folder / other} is missing or damaged; train again")
        plans = {study: Plan.from_json(plan) for study, plan in card["plans"].items()}
        if not plans:
            raise ValueError("no plan")
        predictor = make_predictor(kind).set_params(**card["parameters"]).restore(folder, card["state"])
        return SavedPredictor(str(card["name"]), plans, predictor, card, conditions)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OvnasError(f"{file} is damaged; train again") from None


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
