"""Where networks lie in the pictures of a front: what a search saves to the right, what it keeps upwards."""

from __future__ import annotations

from collections.abc import Sequence

from search.objectives import OBJECTIVES
from search.outcome import Finalist, Network, Outcome
from search.problem import Candidate

__all__ = ["LATENCY", "LOG_FROM", "Z95", "Places"]

Z95 = 1.96
# The upper end of an axis of accuracies, in per cent: room for a mark at 100.
MOST = 100.6
# From so wide a range of costs on, their axis is logarithmic.
LOG_FROM = 4.0
LATENCY = "latency, ms (at the machine's speed when it was profiled)"
# By objective: its axis, on which a figure is divided by a million.
SIZES = {"macs": "million MACs", "parameters": "million parameters", "model_size": "INT8 weights, MB"}


class Places:
    """The cost is latency, in milliseconds at the machine's speed when it was profiled, or, of a search whose
    objectives know no latency and no throughput, the first size among them. Quality is in per cent, or in
    the stand-in's own unit."""

    def __init__(self, outcome: Outcome, candidates: Sequence[Candidate]) -> None:
        self.outcome = outcome
        self.scale = 100.0 if outcome.is_accuracy else 1.0
        self.known = {str(c.architecture): c for c in candidates}
        sizes = [name for name in outcome.objectives if name in SIZES]
        self.is_latency = not sizes or bool({"latency", "throughput"} & set(outcome.objectives))
        self.cost_label = LATENCY if self.is_latency else SIZES[sizes[0]]
        self._figure = "" if self.is_latency else OBJECTIVES[sizes[0]].figure

    def cost(self, candidate: Candidate) -> float:
        """As it is predicted."""
        return candidate.latency_us / 1e3 if self.is_latency else self._size(candidate)

    def quality(self, candidate: Candidate) -> float:
        """As it was evaluated."""
        return self.scale * candidate.quality

    def predicted(self, one: Finalist) -> tuple[float, float | None]:
        """A finalist's cost and quality before it was built."""
        candidate = self.known.get(one.architecture)
        quality = one.predicted_top1 if candidate is None else candidate.quality
        cost = one.predicted_us / 1e3
        if not self.is_latency:
            cost = self._size(one) if candidate is None else self.cost(candidate)
        return cost, None if quality is None else self.scale * quality

    def measured(self, one: Finalist) -> tuple[float, float | None]:
        """A stand-in is not measured: it stays what it was."""
        has_own = self.outcome.is_accuracy and one.top1_int8 is not None
        quality = 100 * (one.top1_int8 or 0.0) if has_own else self.predicted(one)[1]
        return one.measured_then_us / 1e3 if self.is_latency else self._size(one), quality

    @property
    def baseline(self) -> tuple[float, float | None]:
        """Of the INT8 pre-trained model."""
        base = self.outcome.baseline
        cost = base.latency_us * self.outcome.machine_speed / 1e3 if self.is_latency else self._size(base)
        if self.outcome.is_accuracy:
            return cost, None if base.top1_int8 is None else 100 * base.top1_int8
        return cost, base.macs / 1e6 if "MACs" in self.outcome.quality else None

    @property
    def label(self) -> str:
        """Of the axis of quality."""
        return "top-1 accuracy, %" if self.outcome.is_accuracy else self.outcome.quality

    def limits(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Of the picture that shows all finalists with their intervals, and the baseline."""
        points = [self.baseline]
        for one in self.outcome.finalists:
            points += [self.predicted(one), self.measured(one)]
        xs, ys = [x for x, _ in points], [y for _, y in points if y is not None] or [0.0, 1.0]
        if self.is_latency:
            for one in self.outcome.finalists:
                xs += [
                    end / 1e3
                    for ends in (one.interval_us, one.measured_then_interval_us)
                    for end in ends or ()
                ]
        error = max((f.top1_int8_se or 0.0 for f in self.outcome.finalists), default=0.0)
        margin = max(0.18 * (max(ys) - min(ys)), 100 * Z95 * error if self.outcome.is_accuracy else 0.0)
        margin = margin or 0.05 * max(map(abs, ys)) or 1.0
        left, right = min(xs), max(xs)
        if right > LOG_FROM * left > 0:
            pad = (right / left) ** 0.06
            x = left / pad, right * pad
        else:
            x = left - 0.06 * (right - left or left), right + 0.06 * (right - left or right)
        top = max(ys) + margin
        return x, (min(ys) - 1.3 * margin, min(top, MOST) if self.outcome.is_accuracy else top)

    def _size(self, one: Network | Candidate) -> float:
        return float(getattr(one, self._figure)) / 1e6
