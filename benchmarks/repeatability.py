"""How well estimators of latency repeat between two processes, on the same raw samples.

`python benchmarks/repeatability.py --study resnet50`: 24 sub-networks in interleaved rounds, the maximal
network in each as anchor, in two fresh processes; the mean absolute difference and Kendall's tau of
each estimator. It is why `profiling.timing` takes the median over short rounds of the ratio to the
anchor.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_file import write_result
from scipy.stats import kendalltau

NETWORKS, BLOCK, ROUNDS = 24, 6, 24
QUANTILES = (0.0, 0.1, 0.25, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="resnet50")
    parser.add_argument("--samples", type=int, default=5, help="inferences a network and round")
    parser.add_argument("--into", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.into:
        np.save(arguments.into, measure(arguments.study, arguments.samples, arguments.seed))
        return
    with tempfile.TemporaryDirectory() as scratch:
        files = [Path(scratch) / f"{i}.npy" for i in range(2)]
        for seed, file in enumerate(files):
            command = [sys.executable, __file__, "--study", arguments.study, "--into", str(file)]
            command += ["--samples", str(arguments.samples), "--seed", str(seed)]
            subprocess.run(command, check=True)
        first, second = (estimates(np.load(file).astype(float)) for file in files)
    rows = {
        name: {
            "mean_absolute_difference": float(np.mean(np.abs(second[name] / first[name] - 1))),
            "kendall_tau": float(kendalltau(first[name], second[name]).statistic),
        }
        for name in first
    }
    for name, row in rows.items():
        print(f"{name:45s} {row['mean_absolute_difference']:.2%}  tau {row['kendall_tau']:.3f}")
    conditions = {"study": arguments.study, "networks": NETWORKS, "rounds": ROUNDS}
    value = {**conditions, "samples_a_round": arguments.samples, "estimators": rows}
    write_result(f"repeatability-{arguments.study}", value)


def measure(study_name: str, n_samples: int, seed: int) -> NDArray[np.float32]:
    """Raw latencies, shape (n_blocks, ROUNDS, BLOCK + 1, n_samples); the anchor is last."""
    import torch

    from profiling.coverage import space_filling
    from profiling.lock import measuring
    from profiling.machine import read_target
    from profiling.preparation import Bench
    from supernet.checkpoint import example_input, make_network
    from supernet.sliced import SlicedGraphs
    from supernet.study import Study

    study = Study.load(study_name)
    noise = torch.randn(4, *study.model.input_shape, generator=torch.Generator().manual_seed(0))
    graphs = SlicedGraphs(make_network(study), example_input(study), noise)
    bench = Bench(graphs, read_target(study.target))
    chosen = itertools.islice(space_filling(graphs.space, np.random.default_rng(5)), 2, NETWORKS + 2)
    architectures = list(chosen)
    rng = np.random.default_rng(seed)
    result: list[Any] = []
    with measuring():
        for start in range(0, NETWORKS, BLOCK):
            timers = [bench.timer(a) for a in architectures[start : start + BLOCK]] + [bench.anchor()]
            for timer in timers:
                timer.run(3)
            rounds = []
            for _ in range(ROUNDS):
                row: list[Any] = [None] * len(timers)
                for i in rng.permutation(len(timers)):
                    row[i] = timers[i].run(n_samples)
                rounds.append(row)
            result.append(rounds)
    return np.array(result, dtype=np.float32)


def estimates(raw: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Each estimator's value for every network, shape (n_networks,)."""
    blocks, rounds, members, samples = raw.shape
    pooled = raw.transpose(0, 2, 1, 3).reshape(blocks, members, rounds * samples)
    found = {"mean over all samples": pooled.mean(axis=2)[:, :-1].ravel()}
    for q in QUANTILES:
        whole = np.quantile(pooled, q, axis=2)
        levels = np.quantile(raw, q, axis=3)
        found[f"quantile {q:g} over all samples"] = whole[:, :-1].ravel()
        found[f"quantile {q:g} over all samples, over the anchor's"] = (whole[:, :-1] / whole[:, -1:]).ravel()
        ratios = levels[:, :, :-1] / levels[:, :, -1:]
        found[f"median over rounds of ratio at quantile {q:g}"] = np.median(ratios, axis=1).ravel()
    return found


if __name__ == "__main__":
    main()
