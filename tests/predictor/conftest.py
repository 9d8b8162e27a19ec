"""Measurements whose law is known, and a predictor of every kind trained on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from predictor.base import LatencyPredictor
from predictor.dataset import Dataset, load_dataset
from predictor.network import Network
from predictor.registry import PREDICTORS, make_predictor


@dataclass(frozen=True)
class Trained:
    name: str
    predictor: LatencyPredictor


@pytest.fixture(scope="session")
def measurements(known, tmp_path_factory) -> Path:
    """Sixty networks, ten of them repeated; not to be changed."""
    return known.write(tmp_path_factory.mktemp("measurements") / "m.sqlite", 60, 10)


@pytest.fixture(scope="session")
def data(measurements) -> Dataset:
    return load_dataset([measurements])


@pytest.fixture(scope="session", params=sorted(PREDICTORS))
def trained(request, data) -> Trained:
    return Trained(request.param, data.fit(make_predictor(request.param, seed=3), data.train))


@pytest.fixture(scope="session")
def networks_of(known, data):
    """Architectures as a predictor sees them."""
    return lambda architectures: [Network.planned(known.plan, a, data.conditions) for a in architectures]


@pytest.fixture(scope="session")
def unseen(data, known) -> list:
    """Architectures that none of the measured networks has, some with dropped blocks."""
    measured = {e.record.architecture for e in data.examples}
    found = [a for a in known.architectures(200, seed=9) if a not in measured]
    assert len({a.depth for a in found}) == 6
    return found
