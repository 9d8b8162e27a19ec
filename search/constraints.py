"""Hard constraints in the user's words, as limits that a search keeps to and finalists are held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Figures = Mapping[str, float | None]

__all__ = ["Constraints", "Limit"]

# Which measured figure an objective's limit is held against.
_FIGURES = {"latency": "latency_us", "accuracy": "top1", "macs": "macs", "model_size": "model_bytes"}


@dataclass(frozen=True)
class Limit:
    """A bound of one objective: at most `bound` if `is_upper`, else at least. `option` is the constraint
    that it comes from."""

    option: str
    objective: str
    bound: float
    is_upper: bool

    def excess(self, values: Floats | float) -> Floats:
        """How far beyond the bound, relative to it; 0 where it is kept. In the shape of `values`."""
        import numpy as np

        scale = abs(self.bound) or 1.0
        beyond = (values - self.bound) if self.is_upper else (self.bound - values)
        # Half a part in a million is rounding.
        return np.asarray(np.maximum(beyond / scale - 5e-7, 0.0))


@dataclass(frozen=True)
class Constraints:
    """None where the user set none. `max_accuracy_drop` is in points below the pre-trained model (both in
    FP32, or both in INT8), `min_speedup` a ratio of latencies to the INT8 baseline."""

    max_latency_us: float | None = None
    min_speedup: float | None = None
    max_accuracy_drop: float | None = None
    max_macs: float | None = None
    max_size_bytes: float | None = None

    def at_speed(self, factor: float) -> Constraints:
        """The same for latencies of a machine on which everything takes `factor` times as long."""
        if self.max_latency_us is None:
            return self
        return replace(self, max_latency_us=factor * self.max_latency_us)

    def limits(self, baseline_us: float, baseline_quality: float | None) -> tuple[Limit, ...]:
        """What they mean beside a baseline of this latency (microseconds) and accuracy (a fraction; None:
        not measured, then no drop is limited)."""
        found = []
        if self.max_latency_us is not None:
            found.append(Limit("max_latency", "latency", self.max_latency_us, is_upper=True))
        if self.min_speedup is not None:
            found.append(Limit("min_speedup", "latency", baseline_us / self.min_speedup, is_upper=True))
        if self.max_accuracy_drop is not None and baseline_quality is not None:
            least = baseline_quality - self.max_accuracy_drop / 100
            found.append(Limit("max_accuracy_drop", "accuracy", least, is_upper=False))
        if self.max_macs is not None:
            found.append(Limit("max_macs", "macs", self.max_macs, is_upper=True))
        if self.max_size_bytes is not None:
            found.append(Limit("max_size", "model_size", self.max_size_bytes, is_upper=True))
        return tuple(found)

    def excess(self, found: Figures, baseline: Figures) -> float:
        """How far measured figures are beyond what is asked for, all limits together; 0 where all are kept.
        Both mappings hold latency_us, top1 (None: not measured), macs and model_bytes."""
        return sum(float(limit.excess(value)) for limit, value in self._held_against(found, baseline))

    def violations(self, found: Figures, baseline: Figures) -> list[str]:
        """One text a constraint that measured figures break; the mappings are those of `excess`."""
        base_us = _number(baseline["latency_us"])
        texts: dict[str, Callable[[float, float], str]] = {
            "max_latency": lambda us, bound: f"{us / 1e3:.4g} ms > {bound / 1e3:.4g} ms",
            "min_speedup": lambda us, bound: f"{base_us / us:.3g}x < {base_us / bound:.4g}x",
            "max_accuracy_drop": lambda top1, bound: (
                f"{100 * (_number(baseline['top1']) - top1):.2f} points > {self.max_accuracy_drop:g} points"
            ),
            "max_macs": lambda macs, bound: f"{macs / 1e6:.4g} million > {bound / 1e6:.4g} million",
            "max_size": lambda size, bound: f"{size / 1e6:.4g} MB > {bound / 1e6:.4g} MB",
        }
        return [
            f"{limit.option}: {texts[limit.option](value, limit.bound)}"
            for limit, value in self._held_against(found, baseline)
            if limit.excess(value) > 0
        ]

    def _held_against(self, found: Figures, baseline: Figures) -> list[tuple[Limit, float]]:
        limits = self.limits(_number(baseline["latency_us"]), baseline["top1"])
        return [(limit, _number(found[_FIGURES[limit.objective]])) for limit in limits]

    def to_json(self) -> dict[str, float | None]:
        """Its fields."""
        return asdict(self)

    @property
    def options(self) -> str:
        """Those that are set, as the user would write them."""
        texts = {
            "max_latency_us": lambda v: f"--max-latency {v / 1e3:g}ms",
            "min_speedup": lambda v: f"--min-speedup {v:g}",
            "max_accuracy_drop": lambda v: f"--max-accuracy-drop {v:g}",
            "max_macs": lambda v: f"--max-macs {v / 1e6:g}M",
            "max_size_bytes": lambda v: f"--max-size {v / 1e6:g}MB",
        }
        own: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        return " ".join(texts[name](value) for name, value in own.items() if value is not None)


def _number(value: float | None) -> float:
    if value is None:
        raise ValueError("a figure that a constraint needs is missing")
    return float(value)
