"""Each executed kernel's time, from OpenVINO's performance counters.

A counter is a running mean since the compile: durations are cut to whole microseconds when they are
added, the mean is cut again when it is read, and the cold first inference is in it. So the counter is
read after every inference; times the number of inferences it is a total that grows by one inference's
time each, and the slope of that line is free of the cold inference. Half a microsecond is added for
each of the two cuts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from profiling.timing import Timer

__all__ = ["Counters", "read_counters", "slope_us"]

MIN_INFERENCES, MAX_INFERENCES = 12, 60
SECONDS = 0.15
RUNAWAY = 1.05


@dataclass(frozen=True)
class Counters:
    """`times_us` of one inference by executed node name; `runaway` is the mean over the median of the
    inferences they were read from."""

    times_us: dict[str, float]
    runaway: float

    @property
    def is_calm(self) -> bool:
        """Whether no inference was interrupted for long: counters are means."""
        return self.runaway < RUNAWAY


def read_counters(timer: Timer) -> Counters:
    """Runs some inferences. The timer's model has counters on and is newly compiled."""
    readings: dict[str, list[int]] = {}
    samples: list[float] = []
    n = MIN_INFERENCES
    done = 0
    while done < n:
        samples.append(float(timer.run(1)[0]))
        done += 1
        if done == 2:
            wanted = int(SECONDS * 1e6 / samples[-1])
            n = int(np.clip(wanted, MIN_INFERENCES, MAX_INFERENCES))
        for info in timer.request.get_profiling_info():
            if info.exec_type != "undef":
                readings.setdefault(info.node_name, []).append(_microseconds(info.real_time))
    times_us = {name: slope_us(values) for name, values in readings.items()}
    return Counters(times_us, float(np.mean(samples[1:]) / np.median(samples[1:])))


def slope_us(readings: Sequence[int]) -> float:
    """Time of one inference from the counter's value after 1, 2, ... n inferences.

    A counter that stays at zero belongs to a kernel below one microsecond: it counts as half of one.
    """
    if not any(readings):
        return 0.5
    counts = np.arange(1, len(readings) + 1)
    totals = counts * (np.asarray(readings) + 0.5)
    if len(readings) < 3:
        return float(readings[-1]) + 1.0
    slope = np.polyfit(counts[1:], totals[1:], 1)[0]
    return max(0.5, float(slope) + 0.5)


def _microseconds(value: Any) -> int:
    return int(value.total_seconds() * 1e6 + 0.5)
