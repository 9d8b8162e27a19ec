"""Where a search gets latencies from: a trained predictor, or the benchmark itself."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from search.evaluations import Evaluations
from supernet.architecture import Architecture
from supernet.space import Space

if TYPE_CHECKING:
    from predictor.saved import SavedPredictor
    from profiling.preparation import Bench

__all__ = ["LatencySource", "Measured", "Predicted"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


class LatencySource(ABC):
    """`name` is the predictor's, `data_hash` that of what it learned from. `is_known` if a latency costs
    nothing. All latencies refer to the speed of the machine at which the baseline takes `baseline_us`."""

    name: str
    data_hash: str
    is_known: bool
    space: Space
    baseline_us: float

    @abstractmethod
    def predict_codes(self, codes: Codes) -> Floats:
        """Microseconds, shape (n,)."""

    @abstractmethod
    def interval(self, latency_us: Floats) -> list[list[float | None]]:
        """Both ends around each latency in microseconds; None where there is no finite one."""

    @abstractmethod
    def layers(self, architectures: Sequence[Architecture]) -> dict[str, Any]:
        """search.json's "layers": the kernels of the baseline and of each of `architectures`."""


class Predicted(LatencySource):
    """A trained predictor, compiled over the study's space."""

    is_known = True

    def __init__(self, saved: SavedPredictor, study: str) -> None:
        self.name, self.saved, self._study = saved.name, saved, study
        self.space = saved.plan_of(study).space
        self.baseline_us = float(saved.card["anchor_us"][study])
        self.data_hash = str(saved.card["data_hash"])
        self._compiled = saved.compiled(study)

    def predict_codes(self, codes: Codes) -> Floats:
        return self._compiled.predict_codes(codes)

    def interval(self, latency_us: Floats) -> list[list[float | None]]:
        from predictor.conformal import finite

        low, high = self.saved.interval(latency_us, study=self._study)
        return [[finite(float(a)), finite(float(b))] for a, b in zip(low, high, strict=True)]

    def layers(self, architectures: Sequence[Architecture]) -> dict[str, Any]:
        from search.layers import layers_of

        return layers_of(self.saved, self._study, architectures)


class Measured(LatencySource):
    """Each architecture's sliced INT8 graph, compiled and timed in interleaved rounds between anchors, as
    profiling does. Kept in the evaluations' file under machine, properties, target and space: measured once.

    The anchor's own level is that of the first block measured."""

    name, data_hash = "measure", ""
    is_known = False

    def __init__(self, bench: Bench, conditions: dict[str, Any], cache: Evaluations, seed: int) -> None:
        self._bench, self._cache, self._seed = bench, cache, seed
        self.space = bench.plan.space
        text = json.dumps([conditions, self.space.fingerprint], sort_keys=True)
        self._key = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.n_measured = 0
        found = self._cache.get("latency", self._key, "anchor")
        if found is None:
            self._measure([self.space.largest])
            found = self._cache.get("latency", self._key, "anchor")
        assert found is not None
        self.baseline_us = found

    def predict_codes(self, codes: Codes) -> Floats:
        from profiling.block import even_blocks

        architectures = [self.space.decode(row) for row in codes]
        missing = [a for a in dict.fromkeys(architectures) if self._known(a) is None]
        for block in even_blocks(missing, self._bench.room()):
            self._measure(block)
        return np.array([self._known(a) for a in architectures], dtype=np.float64)

    def interval(self, latency_us: Floats) -> list[list[float | None]]:
        return [[None, None] for _ in latency_us]

    def layers(self, architectures: Sequence[Architecture]) -> dict[str, Any]:
        from search.layers import layers_of_plan

        return layers_of_plan(self._bench.plan, architectures)

    def _known(self, architecture: Architecture) -> float | None:
        return self._cache.get("latency", self._key, str(architecture))

    def _measure(self, architectures: Sequence[Architecture]) -> None:
        """A network that was disturbed is measured once more."""
        from profiling.block import is_disturbed, time_block
        from profiling.load import level_of
        from profiling.timing import anchor_level, ratio

        level = level_of(self._bench.target)
        rng = np.random.default_rng([self._seed, 11, self.n_measured])
        found = dict(zip(architectures, time_block(self._bench, architectures, rng), strict=True))
        again = [a for a, rounds in found.items() if is_disturbed(rounds)]
        if again:
            found |= dict(zip(again, time_block(self._bench, again, rng), strict=True))
        anchor_us = self._cache.get("latency", self._key, "anchor")
        if anchor_us is None:
            anchor_us = anchor_level([r for rounds in found.values() for r in rounds], level)
            self._cache.put("latency", self._key, "anchor", anchor_us)
        for architecture, rounds in found.items():
            self._cache.put("latency", self._key, str(architecture), anchor_us * ratio(rounds, level))
        self.n_measured += len(found)
