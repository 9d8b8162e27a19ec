"""Sliced INT8 graphs against the slow road (extract, convert, quantise), their oracle.

`python benchmarks/sliced_oracle.py --study resnet50`: for each architecture, whether both execute the
same kernels, the latency of the slow road's graph over the sliced one's in the same interleaved rounds,
and what each road takes. Each graph is compiled several times, for where a network lies in memory makes a
difference: how far two compiles of one graph differ is what the comparison of two graphs can tell.
`--networks 2` to try it.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from results_file import write_result
from torch import Tensor

from profiling.activity import read_activity
from profiling.coverage import space_filling
from profiling.kernel import read_kernels
from profiling.lock import measuring
from profiling.machine import read_target
from profiling.memory import release_freed_memory
from profiling.preparation import Bench
from profiling.target import compile_model
from profiling.timing import interleave, ratio
from supernet import ElasticNetwork, Study, quantize, to_openvino
from supernet.resized import images_of
from supernet.sliced import SlicedGraphs
from supernet.study_model import example_input, make_network, noise

if TYPE_CHECKING:
    import openvino as ov

    from supernet.architecture import Architecture

NETWORKS, BLOCK, ROUNDS = 20, 5, 24
# Compiles of each graph that are timed.
COPIES = 3


@dataclass(frozen=True)
class Compared:
    """One architecture on both roads. `slow_s` is extract, convert, quantise and compile; `sliced_s`
    slice and compile twice, as a collection does. `sliced` and `slow` are the latencies of each graph's
    compiles, relative to the anchor's."""

    architecture: str
    n_kernels: int
    same_kernels: bool
    same_order: bool
    is_planned: bool
    sliced_s: float
    slow_s: float
    sliced: tuple[float, ...] = ()
    slow: tuple[float, ...] = ()

    @property
    def latency_ratio(self) -> float:
        """The slow road's latency over the sliced graph's, one compile of each."""
        return self.slow[0] / self.sliced[0]

    @property
    def mean_ratio(self) -> float:
        """As `latency_ratio`, of the means over all compiles."""
        return sum(self.slow) / sum(self.sliced)


@dataclass(frozen=True)
class Both:
    """An architecture's graphs by both roads."""

    compared: Compared
    sliced: ov.Model
    slow: ov.Model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="resnet50")
    parser.add_argument("--networks", type=int, default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    activity = read_activity()
    study, rng = Study.load(arguments.study), np.random.default_rng(arguments.seed)
    with measuring():
        rows = measure(study, arguments.networks, arguments.rounds, rng)
    value = {
        "study": study.name,
        "target": read_target(study.target),
        "rounds": arguments.rounds,
        "copies": COPIES,
        "seed": arguments.seed,
        **summary(rows),
        "networks": [
            {**asdict(row), "latency_ratio": row.latency_ratio, "mean_ratio": row.mean_ratio} for row in rows
        ],
    }
    print({key: found for key, found in value.items() if key != "networks"})
    write_result(f"sliced_oracle-{study.name}", value, activity=activity)


def measure(study: Study, n: int, rounds: int, rng: np.random.Generator) -> list[Compared]:
    """`n` architectures of a space-filling sample, a few of them in memory at a time."""
    target = read_target(study.target)
    network, example = make_network(study), example_input(study, batch=target["batch"])
    samples = noise(study, batch=target["batch"])
    start = time.perf_counter()
    bench = Bench(SlicedGraphs(network, example, samples), target)
    print(f"maximal network converted, quantised and planned in {time.perf_counter() - start:.1f} s")
    chosen = itertools.islice(space_filling(network.space, rng), n)
    rows: list[Compared] = []
    while block := list(itertools.islice(chosen, BLOCK)):
        release_freed_memory()
        both = [prepare(a, network, bench, example, samples) for a in block]
        release_freed_memory()
        # In turn, so that neither road's compiles lie together.
        timers = [
            bench.timer(model) for item in both for _ in range(COPIES) for model in (item.sliced, item.slow)
        ]
        found = [ratio(own) for own in interleave(timers, bench.anchors(), rng, rounds=rounds)]
        for i, item in enumerate(both):
            own = found[2 * COPIES * i : 2 * COPIES * (i + 1)]
            rows.append(replace(item.compared, sliced=tuple(own[::2]), slow=tuple(own[1::2])))
            print(f"{len(rows)}/{n}", describe(rows[-1]), flush=True)
    return rows


def prepare(
    architecture: Architecture, network: ElasticNetwork, bench: Bench, example: Tensor, samples: Tensor
) -> Both:
    """Both roads to one architecture, each timed."""
    start = time.perf_counter()
    model = bench.graphs.model(architecture)
    counted = compile_model(model, bench.target, counters=True)
    compile_model(model, bench.target)
    sliced_s = time.perf_counter() - start
    start = time.perf_counter()
    plain = to_openvino(network.extract(architecture), images_of(network.space, architecture, example))
    slow = quantize(plain, images_of(network.space, architecture, samples), fast=True)
    slow_compiled = compile_model(slow, bench.target)
    slow_s = time.perf_counter() - start
    ours, theirs = ([(k.kernel, k.exec_type) for k in read_kernels(c)] for c in (counted, slow_compiled))
    compared = Compared(
        str(architecture),
        len(ours),
        same_kernels=Counter(ours) == Counter(theirs),
        same_order=ours == theirs,
        is_planned=bench.plan.of(architecture) == [kernel for kernel, _ in theirs],
        sliced_s=sliced_s,
        slow_s=slow_s,
    )
    return Both(compared, model, slow)


def summary(rows: list[Compared]) -> dict[str, Any]:
    """What the rows say together; differences are of the ratios from 1."""
    result: dict[str, Any] = {
        "n_networks": len(rows),
        "same_kernels": sum(row.same_kernels for row in rows),
        "same_kernels_in_order": sum(row.same_order for row in rows),
        "planned_kernels_in_order": sum(row.is_planned for row in rows),
        "slice_and_compile_twice_s": float(np.median([row.sliced_s for row in rows])),
        "slow_road_s": float(np.median([row.slow_s for row in rows])),
    }
    for name, ratios in (
        ("slow_over_sliced", [row.latency_ratio for row in rows]),
        ("sliced_over_itself", [row.sliced[1] / row.sliced[0] for row in rows]),
        ("slow_over_itself", [row.slow[1] / row.slow[0] for row in rows]),
        ("mean_slow_over_mean_sliced", [row.mean_ratio for row in rows]),
    ):
        off = np.abs(np.array(ratios) - 1)
        result[name] = {
            "median_ratio": float(np.median(ratios)),
            "mean_absolute_difference": float(off.mean()),
            "median_absolute_difference": float(np.median(off)),
            "worst": float(off.max()),
            "within_1_percent": float((off <= 0.01).mean()),
        }
    return result


def describe(row: Compared) -> str:
    """One line of progress."""
    kernels = "same kernels" if row.same_order else "OTHER KERNELS OR ORDER"
    return (
        f"{row.architecture}: {row.n_kernels} kernels, {kernels}{'' if row.is_planned else ', NOT PLANNED'}, "
        f"slow/sliced {row.latency_ratio:.4f}, of {COPIES} compiles {row.mean_ratio:.4f}, "
        f"{row.sliced_s:.2f} s and {row.slow_s:.2f} s"
    )


if __name__ == "__main__":
    main()
