"""Measurements whose law is known, and a predictor of every kind trained on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from predictor.base import KernelPredictor, LatencyPredictor
from predictor.dataset import Dataset, load_dataset
from predictor.network import Network
from predictor.registry import ADAPTED, PREDICTORS, make_predictor
from predictor.xgb import XgbPredictor
from profiling.plan import Plan
from profiling.store import Store


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


@pytest.fixture(scope="session")
def other_conditions(data) -> KernelPredictor:
    """A predictor of conditions under which everything takes 1.7 times as long."""
    networks, times = (
        data.measured_networks(data.train),
        [1.7 * np.array([k.time_us for k in e.record.kernels]) for e in data.train],
    )
    return XgbPredictor(n_estimators=50, n_joint=0).fit(networks, 1.7 * data.latencies(data.train), times)


@pytest.fixture(scope="session")
def unfitted(other_conditions) -> Callable[[str], LatencyPredictor]:
    """A registered predictor that is ready to be fitted."""

    def make(name: str) -> LatencyPredictor:
        predictor = make_predictor(name, seed=3)
        return predictor.set_params(base=other_conditions) if name == ADAPTED else predictor

    return make


@pytest.fixture(scope="session", params=sorted(PREDICTORS))
def trained(request, data, unfitted) -> Trained:
    return Trained(request.param, data.fit(unfitted(request.param), data.train))


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


@pytest.fixture(scope="session")
def write_other(known) -> Callable[..., Path]:
    """Writes measurements of study "other": the same kernels, without the last, in a space of its own."""
    space = dataclasses.replace(known.plan.space, divisor=2)
    plan = Plan(space, known.plan.kernels[:-1])
    own = type(known)(plan)

    def write(path: Path, n: int = 40, **changes: object) -> Path:
        meta = own.meta(study="other", **changes)
        with Store.create_or_open(path, meta) as store:
            for i, architecture in enumerate(own.architectures(n)):
                store.add(architecture, own.rounds(architecture, i), own.kernels(architecture), 0.1)
        return path

    return write
