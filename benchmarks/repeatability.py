"""How well a latency repeats between two processes: `python benchmarks/repeatability.py --study resnet50`.

30 sub-networks by the protocol of `profiling.timing`, the maximal network as anchor, in two fresh
processes: mean absolute difference and Kendall's tau, for several estimators on the same raw samples.
`--disturbed` keeps another CPU busy for a third of the time, in bursts of random length.
`--samples FILE` keeps what was measured, or estimates again from what is there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from results_file import revision, write_result
from scipy.stats import kendalltau

from profiling.activity import read_activity
from profiling.preparation import ANCHORS
from profiling.timing import ROUND_QUANTILE

if TYPE_CHECKING:
    from collections.abc import Iterator

NETWORKS = 30
BURST_S = (0.3, 3.0)
BUSY_SHARE = 1 / 3
OURS = "low end over rounds, over the anchor's (ovnas)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="resnet50")
    parser.add_argument("--disturbed", action="store_true", help="with a busy process on another CPU")
    parser.add_argument("--run", default="", help="a name for one more run's file, beside the others")
    parser.add_argument(
        "--samples", type=Path, metavar="FILE", help="where levels of all rounds are kept (.npz)"
    )
    parser.add_argument("--into", help=argparse.SUPPRESS)
    parser.add_argument("--busy", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.busy:
        be_busy()
    if arguments.into:
        np.savez(arguments.into, **measure(arguments.study, arguments.seed))
        return
    if arguments.samples is not None and arguments.samples.exists():
        found, conditions = read_samples(arguments.samples)
    else:
        found, conditions = measure_twice(arguments.study, arguments.disturbed)
        if arguments.samples is not None:
            write_samples(arguments.samples, found, conditions)
    # Both processes' ratios to the anchor times one level, as a file of measurements has it.
    usual = float(np.mean([usual_us(raw) for raw in found]))
    first, second = (estimates(raw, usual) for raw in found)
    rows = {
        name: {
            "mean_absolute_difference": float(np.mean(np.abs(second[name] / first[name] - 1))),
            "worst_difference": float(np.max(np.abs(second[name] / first[name] - 1))),
            "kendall_tau": float(kendalltau(first[name], second[name]).statistic),
        }
        for name in first
    }
    for name, row in rows.items():
        print(f"{name:62s} {row['mean_absolute_difference']:.2%}  tau {row['kendall_tau']:.3f}")
    value = {
        **conditions,
        "networks": NETWORKS,
        "flagged_rounds": float(np.mean([np.nanmean(f["flagged"]) for f in found])),
        "rounds": [int(n) for f in found for n in f["rounds"]],
        "latency_range_us": [float(first[OURS].min()), float(first[OURS].max())],
        "estimators": rows,
    }
    print({key: value[key] for key in ("flagged_rounds", "rounds")})
    parts = [conditions["study"], "disturbed" if conditions["disturbed"] else "", arguments.run]
    write_result("-".join(["repeatability", *filter(None, parts)]), value)


Raw = dict[str, NDArray[Any]]


def measure_twice(study: str, is_disturbed: bool) -> tuple[list[Raw], dict[str, Any]]:
    """What `measure` finds in two fresh processes, and under which conditions."""
    conditions = {
        "study": study,
        "disturbed": is_disturbed,
        "measured_revision": revision(),
        "activity_before": read_activity(),
    }
    with tempfile.TemporaryDirectory() as scratch, disturbance(is_disturbed):
        files = [Path(scratch) / f"{i}.npz" for i in range(2)]
        for seed, file in enumerate(files):
            command = [sys.executable, __file__, "--study", study, "--into", str(file)]
            subprocess.run([*command, "--seed", str(seed)], check=True)
        return [dict(np.load(file)) for file in files], conditions


def write_samples(path: Path, found: list[Raw], conditions: dict[str, Any]) -> None:
    """Both processes' arrays under the names `0_own`, `1_own`, ...; the conditions as JSON text."""
    arrays = {f"{i}_{name}": value for i, raw in enumerate(found) for name, value in raw.items()}
    np.savez(path, conditions=np.array(json.dumps(conditions)), **arrays)


def read_samples(path: Path) -> tuple[list[Raw], dict[str, Any]]:
    """What `write_samples` has written."""
    with np.load(path, allow_pickle=False) as file:
        found = [{n[2:]: file[n] for n in file.files if n.startswith(f"{i}_")} for i in range(2)]
        return found, json.loads(str(file["conditions"]))


@contextmanager
def disturbance(is_on: bool) -> Iterator[None]:
    """Another CPU than the first, which a single measured thread is pinned to, busy for a third of the
    time."""
    if not is_on:
        yield
        return
    process = subprocess.Popen([sys.executable, __file__, "--busy"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def be_busy() -> NoReturn:
    """Reads and writes memory beyond the caches, in bursts; never ends."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    rng = np.random.default_rng(0)
    block = np.ones(2**23)
    while True:
        burst = rng.uniform(*BURST_S)
        end = time.monotonic() + burst
        while time.monotonic() < end:
            block *= 1.0000001
        time.sleep(burst * (1 - BUSY_SHARE) / BUSY_SHARE)


def measure(study_name: str, seed: int) -> dict[str, NDArray[Any]]:
    """Levels of every round: `own`, `before`, `after`, `place`, `flagged`, each of shape (NETWORKS,
    n_rounds) with NaN where a block had fewer rounds; `mean` and `median` as other levels; `anchor_us`."""
    from profiling.block import even_blocks, time_block
    from profiling.budget import BLOCK
    from profiling.coverage import space_filling
    from profiling.load import level_of
    from profiling.lock import measuring
    from profiling.machine import read_target
    from profiling.preparation import Bench
    from profiling.timing import EXTRA_ROUNDS, ROUNDS
    from supernet.study import Study
    from supernet.study_model import make_graphs

    study = Study.load(study_name)
    target = read_target(study.target)
    graphs = make_graphs(study, batch=target["batch"])
    bench, level = Bench(graphs, target), level_of(target)
    chosen = list(itertools.islice(space_filling(graphs.space, np.random.default_rng(5)), 2, NETWORKS + 2))
    rng = np.random.default_rng(seed)
    shape = (NETWORKS, ROUNDS + EXTRA_ROUNDS)
    names = ("own", "before", "after", "place", "flagged", "mean", "median")
    found = {name: np.full(shape, np.nan) for name in names}
    n_rounds = []
    with measuring():
        for block in even_blocks(list(enumerate(chosen)), BLOCK):
            measured = time_block(bench, [a for _, a in block], rng)
            n_rounds.append(len(measured[0]))
            for (i, _), own in zip(block, measured, strict=True):
                for j, r in enumerate(own):
                    row = (level(r.samples), level(r.before), level(r.after), r.place, r.is_flagged)
                    row += (float(r.samples.mean()), float(np.median(r.samples)))
                    for name, value in zip(names, row, strict=True):
                        found[name][i, j] = value
    return {**found, "rounds": np.array(n_rounds)}


def usual_us(raw: Raw) -> float:
    """The anchor's usual level in one process."""
    return float(np.nanmedian((raw["before"] + raw["after"]) / 2))


def estimates(raw: Raw, usual: float) -> dict[str, NDArray[np.float64]]:
    """Each estimator's value for every network, shape (NETWORKS,), in microseconds; `usual` is the anchor's
    level that ratios refer to."""
    around = (1 - raw["place"]) * raw["before"] + raw["place"] * raw["after"]
    good = raw["flagged"] == 0
    enough = 2 * good.sum(axis=1) >= np.isfinite(raw["own"]).sum(axis=1)
    chosen = np.where(enough[:, None], good, np.isfinite(raw["own"]))
    own, before, after = (np.where(chosen, raw[name], np.nan) for name in ("own", "before", "after"))
    ends = np.stack([before, after], axis=1)  # (NETWORKS, 2, n_rounds)

    def over_anchor(quantile: float) -> NDArray[np.float64]:
        return usual * np.nanquantile(own, quantile, axis=1) / np.nanquantile(ends, quantile, axis=(1, 2))

    copies = [np.nanquantile(ends[..., i::ANCHORS], ROUND_QUANTILE, axis=(1, 2)) for i in range(ANCHORS)]
    return {
        "mean over all samples": np.nanmean(raw["mean"], axis=1),
        "median over rounds": np.nanmedian(raw["median"], axis=1),
        "10th percentile over rounds": np.nanquantile(raw["own"], 0.1, axis=1),
        "median over rounds of ratio to one anchor": usual * np.nanmedian(raw["own"] / raw["before"], axis=1),
        "median over rounds of ratio to both": usual * np.nanmedian(raw["own"] / around, axis=1),
        **{f"{q:.0%} quantile over rounds, over the anchor's": over_anchor(q) for q in (0.05, 0.1, 0.2, 0.3)},
        "as ovnas, each copy of the anchor by itself": usual
        * np.nanquantile(own, ROUND_QUANTILE, axis=1)
        / np.nanmean(copies, axis=0),
        OURS: over_anchor(ROUND_QUANTILE),
    }


if __name__ == "__main__":
    main()
