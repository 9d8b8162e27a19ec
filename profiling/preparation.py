"""From an architecture to something that can be timed: slice, compile, check."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from profiling.budget import BLOCK
from profiling.counters import read_counters
from profiling.kernel import ExecutedKernel, read_kernels
from profiling.load import LoadedTimer, make_timer, under_load
from profiling.memory import available_bytes, growth_bytes, room_for
from profiling.plan import Plan, join_plans, layer_name, make_plan
from profiling.store import KernelTime
from profiling.target import Target, compile_model
from profiling.timing import Timer, low
from supernet.architecture import Architecture
from supernet.errors import OvnasError

if TYPE_CHECKING:
    import openvino as ov

    from supernet.sliced import SlicedGraphs

# A kernel without a counter of its own took less than the microsecond that counters can tell.
NOT_COUNTED_US = 0.5
ANCHORS = 3
COUNTER_ATTEMPTS = 3

__all__ = ["Bench", "Prepared", "measure_overhead_us"]


@dataclass(frozen=True)
class Prepared:
    """What is known of one network before it is timed; `is_planned` if it executes the plan's kernels."""

    architecture: Architecture
    model: ov.Model
    kernels: list[KernelTime]
    prepare_s: float
    is_planned: bool


class Bench:
    """Prepares any architecture of a space for one target."""

    def __init__(self, graphs: SlicedGraphs, target: Target) -> None:
        self.graphs, self.target = graphs, target
        model = graphs.model(graphs.space.largest)
        (maximal, _), self._resident_bytes = growth_bytes(lambda: self._warm(model))
        self.plan: Plan = self._plan(maximal)

    def _plan(self, maximal: ov.CompiledModel) -> Plan:
        """The kernels of the maximal network, which is compiled already at its largest resolution."""
        plan, space = make_plan(self.graphs, read_kernels(maximal)), self.graphs.space
        if not space.resolutions:
            return plan
        plans: dict[int, Plan] = {}
        for side in space.resolutions[:-1]:
            architecture = dataclasses.replace(space.largest, resolution=(side,))
            compiled = compile_model(self.graphs.model(architecture), self.target)
            plans[side] = make_plan(self.graphs.at(architecture), read_kernels(compiled))
        return join_plans({**plans, space.resolutions[-1]: plan})

    def room(self) -> int:
        """How many networks may be resident together, for none is larger than the maximal one.

        Raises OvnasError, with the remedy, if they are too few.
        """
        return room_for(BLOCK, ANCHORS, self._resident_bytes, available_bytes())

    def _warm(self, model: ov.Model) -> tuple[ov.CompiledModel, Timer | LoadedTimer]:
        """A compiled network and its timer, with all the memory that they take once they have run."""
        compiled = compile_model(model, self.target)
        timer = make_timer(compiled, self.target)
        timer.run(1)
        return compiled, timer

    def anchors(self) -> list[Timer | LoadedTimer]:
        """Copies of the maximal network: the same as a study's INT8 baseline, so that every latency is
        relative to what a search wants to beat."""
        model = self.graphs.model(self.graphs.space.largest)
        return [self.timer(model) for _ in range(ANCHORS)]

    def timer(self, model: ov.Model) -> Timer | LoadedTimer:
        """Compiles without counters, for end-to-end latency only."""
        return make_timer(compile_model(model, self.target), self.target)

    def prepare(self, architecture: Architecture) -> Prepared:
        """Slices and compiles with counters, which are read now; the compiled network does not stay."""
        start = time.perf_counter()
        model = self.graphs.model(architecture)
        counted = self._counted(model)
        prepare_s = time.perf_counter() - start
        executed = read_kernels(counted)
        times = self._counters(model, counted)
        if not times.keys() & {item.name for item in executed}:
            raise OvnasError(
                "OpenVINO's counters name none of the kernels that it executes; this release is not known "
                "to ovnas, take a tested one (see constraints.txt)"
            )
        planned = Counter(self.plan.of(architecture))
        return Prepared(
            architecture,
            model,
            [self._kernel_time(architecture, item, times) for item in executed],
            prepare_s,
            is_planned=planned == Counter(item.kernel for item in executed),
        )

    def _of_one_stream(self) -> Target:
        """A counter belongs to a stream, so counters are read of one, with its share of the threads."""
        return {**self.target, "threads": self.target["threads"] // self.target["streams"], "streams": 1}

    def _counted(self, model: ov.Model) -> ov.CompiledModel:
        pinned = None if self.target["streams"] == 1 else False
        return compile_model(model, self._of_one_stream(), counters=True, pinned=pinned)

    def _counters(self, model: ov.Model, counted: ov.CompiledModel) -> dict[str, float]:
        """Microseconds of each kernel by node name, with the target's other streams busy; read again, from a
        new compile, where inferences were interrupted."""
        others: list[Timer] = []
        if n := self.target["streams"] - 1:
            threads = n * self._of_one_stream()["threads"]
            load = compile_model(model, {**self.target, "threads": threads, "streams": n}, pinned=False)
            others = [Timer(load, seed=i) for i in range(n)]
        best = under_load(functools.partial(read_counters, Timer(counted)), others)
        for _ in range(COUNTER_ATTEMPTS - 1):
            if best.is_calm:
                break
            again = under_load(functools.partial(read_counters, Timer(self._counted(model))), others)
            best = min(best, again, key=lambda counters: counters.runaway)
        return best.times_us

    def _kernel_time(
        self, architecture: Architecture, item: ExecutedKernel, times: dict[str, float]
    ) -> KernelTime:
        return KernelTime(
            layer=layer_name(self.graphs.at(architecture), item),
            name=item.name,
            exec_type=item.exec_type,
            in_layout=item.in_layout,
            layout=item.layout,
            originals=item.originals,
            kernel=item.kernel,
            counter_us=times.get(item.name, NOT_COUNTED_US),
        )


def measure_overhead_us(target: Target) -> float:
    """The fixed cost of calling an inference: the latency of a network of one trivial operation."""
    import numpy as np
    import openvino as ov
    from openvino import opset13 as ops

    parameter = ops.parameter([1, 8], np.float32)
    model = ov.Model([ops.relu(parameter)], [parameter], "overhead")
    timer = make_timer(compile_model(model, target), target)
    return float(np.median([low(timer.run(200)) for _ in range(5)]))
