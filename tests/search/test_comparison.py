"""Networks beside a baseline, with stand-ins for what is compiled: copies of one network differ."""

from __future__ import annotations

import numpy as np
import pytest

import profiling.preparation  # noqa: F401  (first, or it would keep the stand-ins that it imported)
from search.comparison import compare
from supernet import OvnasError

TARGET = {"mode": "latency", "threads": 1, "streams": 1, "batch": 1}
LATENCY_US = {"baseline": 100.0, "half": 50.0}
SPREAD = 0.02


class Copy:
    """A compiled copy, which is faster or slower than another one for as long as it lives."""

    def __init__(self, model: str, rng: np.random.Generator) -> None:
        self.us, self.rng = LATENCY_US[model] * float(np.exp(SPREAD * rng.normal())), rng

    def per_round(self) -> int:
        return 10

    def run(self, n: int) -> np.ndarray:
        return (self.us * np.exp(0.001 * self.rng.normal(size=n))).astype(np.float32)


@pytest.fixture
def compiled(monkeypatch):
    """What was compiled, in order."""
    found: list[str] = []
    rng = np.random.default_rng(5)
    monkeypatch.setattr("profiling.target.compile_model", lambda model, target: found.append(model) or model)
    monkeypatch.setattr("profiling.load.make_timer", lambda model, target: Copy(model, rng))
    return found


def test_more_networks_than_memory_has_room_for_are_refused(compiled, monkeypatch, rng):
    monkeypatch.setattr("profiling.memory.available_bytes", lambda: 2**20)
    with pytest.raises(OvnasError, match=r"6 networks together take .* compare fewer: --finalists"):
        compare("baseline", ["half", "half"], TARGET, rng)
    assert compiled == ["baseline"]


def test_a_network_beside_itself_is_as_fast(compiled):
    """On the mean over many measurements: the anchor's copies, of which the fastest counts, do not."""
    found = []
    for seed in range(30):
        _, (base, same, half) = compare("baseline", ["baseline", "half"], TARGET, np.random.default_rng(seed))
        found.append([base.value, base.over(same).value, base.over(half).value])
    over_anchor, same, half = np.exp(np.log(found).mean(axis=0))
    assert over_anchor > 1.005
    assert same == pytest.approx(1, abs=0.006)
    assert half == pytest.approx(2, abs=0.012)


def test_each_copy_is_compiled_anew(compiled, rng):
    anchor_us, ratios = compare("baseline", ["half"], TARGET, rng, copies=2)
    assert compiled == ["baseline"] + 2 * ["baseline", "half", "baseline", "baseline", "baseline"]
    assert anchor_us == pytest.approx(100, rel=0.1)
    assert len(ratios) == 2
