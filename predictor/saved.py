"""Predictors on disk: a folder with card.json and, for trees, XGBoost's own file. No pickle."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.base import KernelPredictor
from predictor.compiled import CompiledPredictor
from predictor.features import FEATURES
from predictor.registry import make_predictor
from profiling.machine import describe_difference
from profiling.plan import Plan
from profiling.store import NetworkRecord
from supernet.architecture import Architecture
from supernet.errors import OvnasError

__all__ = ["SpacePredictor", "data_hash", "load", "save"]

# 1: first.
SCHEMA_VERSION = 1
CARD = "card.json"


@dataclass(frozen=True)
class SpacePredictor:
    """A trained predictor of one space on one machine for one target. `card` is its card.json."""

    name: str
    plan: Plan
    predictor: KernelPredictor
    card: dict[str, Any]

    def predict(self, architectures: Iterable[Architecture]) -> NDArray[np.float64]:
        """Latency in microseconds, shape (n_architectures,)."""
        return self.predictor.predict([self.plan.of(a) for a in architectures])

    def compiled(self) -> CompiledPredictor:
        """For millions of architectures."""
        return CompiledPredictor(self.plan, self.predictor)

    def require(self, machine: dict[str, Any], target: dict[str, Any]) -> None:
        """Raises OvnasError unless it was trained on this machine for this target."""
        difference = describe_difference(self.card["machine"], machine)
        if target != self.card["target"]:
            difference = "; ".join(
                filter(None, [difference, f"target {self.card['target']} there, {target} here"])
            )
        if difference:
            raise OvnasError(
                f"predictor {self.name!r} was trained elsewhere ({difference}); collect and train here"
            )


def data_hash(networks: Sequence[NetworkRecord]) -> str:
    """A short hash of the measurements."""
    text = json.dumps(sorted((str(n.architecture), round(n.latency_us, 4)) for n in networks))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def save(
    name: str,
    predictor: KernelPredictor,
    plan: Plan,
    networks: Sequence[NetworkRecord],
    facts: dict[str, Any],
    folder: Path,
) -> None:
    """Writes `folder` whole or not at all; `facts` must hold machine and target."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        state = predictor.save(Path(scratch))
        card = {
            "schema_version": SCHEMA_VERSION,
            "predictor": name,
            "parameters": predictor.get_params(),
            "features": list(FEATURES),
            "state": state,
            "files": {file.name: _hash(file) for file in sorted(Path(scratch).iterdir())},
            "data_hash": data_hash(networks),
            "train_architectures": [str(n.architecture) for n in networks],
            **facts,
            "plan": plan.to_json(),
        }
        (Path(scratch) / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        folder.mkdir(exist_ok=True)
        for file in sorted(Path(scratch).iterdir(), key=lambda f: f.name == CARD):
            file.replace(folder / file.name)


def load(path: Path | str) -> SpacePredictor:
    """Reads a predictor's folder.

    Raises OvnasError if it is missing, damaged, of another schema or made for other features.
    """
    folder = Path(path)
    file = folder / CARD
    if not file.is_file():
        raise OvnasError(
            f"there is no predictor at {folder}; make it with python -m predictor.train --predictor "
            f"{folder.name} (same --study and --runs-dir)"
        )
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
        version = card["schema_version"]
        if version != SCHEMA_VERSION:
            raise OvnasError(
                f"{file} has schema {version}, but this version reads {SCHEMA_VERSION}; train again"
            )
        features, name, plan = card["features"], card["predictor"], card["plan"]
        if features != list(FEATURES):
            differing = ", ".join(sorted(set(features) ^ set(FEATURES))) or "another order"
            raise OvnasError(f"{file} was trained on other features ({differing}); train again")
        for key in ("machine", "target", "data_hash"):
            card[key]
        for other, expected in card["files"].items():
            # Not left to XGBoost: on some damaged files it ends the process.
            if not (folder / other).is_file() or _hash(folder / other) != expected:
                raise OvnasError(f"{folder / other} is missing or damaged; train again")
        predictor = make_predictor(name).set_params(**card["parameters"]).restore(folder, card["state"])
        return SpacePredictor(name, Plan.from_json(plan), predictor, card)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OvnasError(f"{file} is damaged; train again") from None


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
