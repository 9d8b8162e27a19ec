"""The measured latency beside OpenVINO's own tool: `python benchmarks/benchmark_app.py --study resnet50`.

The same IR files are timed by `profiling` and by `benchmark_app -hint none -nstreams N -nthreads N` in turn,
now the one first, now the other, in latency mode with one stream and in throughput mode with two. Like is
compared with like: the median of all inferences in latency mode, the mean (streams over throughput) in
throughput mode. What a collection keeps refers to the median over rounds of the anchor's level, and a level
is the low end of a round in latency mode, below its median: that difference is reported beside.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from results_file import write_result

if TYPE_CHECKING:
    from profiling.target import Target

SECONDS, TIMES, NETWORKS = 2, 6, 3


def main() -> None:
    import openvino as ov

    from profiling.activity import read_activity
    from profiling.lock import measuring
    from supernet.study import Study
    from supernet.study_model import make_graphs

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="resnet50")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    activity = read_activity()
    graphs = make_graphs(Study.load(arguments.study))
    rng = np.random.default_rng(arguments.seed)
    space = graphs.space
    architectures = [space.largest, space.smallest, *(space.sample(rng) for _ in range(NETWORKS - 2))]
    rows = []
    with measuring(), tempfile.TemporaryDirectory() as scratch:
        for i, architecture in enumerate(architectures):
            file = Path(scratch) / f"{i}.xml"
            ov.save_model(graphs.model(architecture), file)
            for target in TARGETS:
                rows.append({"architecture": str(architecture), **compare(file, target)})
                print(rows[-1], flush=True)
    value = {
        "study": arguments.study,
        "worst": worst(rows, "difference"),
        "worst_of_kept": worst(rows, "difference_of_kept"),
        "rows": rows,
    }
    print(value["worst"], value["worst_of_kept"])
    write_result(f"benchmark_app-{arguments.study}", value, activity=activity)


def worst(rows: list[dict[str, Any]], name: str) -> dict[str, float]:
    """The largest difference of that name in each mode."""
    modes = [target["mode"] for target in TARGETS]
    return {mode: max(abs(r[name]) for r in rows if r["target"]["mode"] == mode) for mode in modes}


TARGETS: tuple[Target, ...] = (
    {"mode": "latency", "threads": 1, "streams": 1, "batch": 1},
    {"mode": "throughput", "threads": 2, "streams": 2, "batch": 1},
)


def compare(file: Path, target: Target) -> dict[str, Any]:
    """Latency in microseconds (in throughput mode: the time that an inference holds its stream) by both;
    `kept_us` is what a collection would keep of the same samples."""
    import openvino as ov

    from profiling.load import busy, level_of, make_timer
    from profiling.target import compile_model, core

    timer, level = make_timer(compile_model(core().read_model(file), target), target), level_of(target)
    n = timer.per_round()
    rounds = max(1, round(SECONDS * 1e6 / (n * busy(timer.run(n)))))
    ours, kept, theirs = [], [], []

    def measure() -> None:
        samples = [timer.run(n) for _ in range(rounds)]
        pooled = np.concatenate(samples)
        ours.append(busy(pooled) if target["mode"] == "throughput" else float(np.median(pooled)))
        kept.append(float(np.median([level(own) for own in samples])))

    for i in range(TIMES):
        if i % 2 == 0:
            measure()
        theirs.append(benchmark_app_us(file, target))
        if i % 2 == 1:
            measure()
    return {
        "target": target,
        "ours_us": ours,
        "kept_us": kept,
        "benchmark_app_us": theirs,
        "difference": typical_difference(ours, theirs),
        "difference_of_kept": typical_difference(kept, theirs),
        "openvino": str(ov.get_version()),
    }


def typical_difference(ours: list[float], theirs: list[float]) -> float:
    """The median over pairs of neighbours in time of how far ours is above theirs, a fraction."""
    return float(np.median(np.array(ours) / np.array(theirs)) - 1)


def benchmark_app_us(file: Path, target: Target) -> float:
    """What benchmark_app says: its median latency in latency mode, else streams over its throughput."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).parent / "benchmark_app"), "-m", str(file), "-d", "CPU"]
        command += ["-hint", "none", "-nstreams", str(target["streams"]), "-nthreads", str(target["threads"])]
        command += ["-infer_precision", "f32", "-t", str(SECONDS)]
        command += ["-json_stats", "-report_type", "no_counters", "-report_folder", folder]
        command += ["-api", "sync"] if target["mode"] == "latency" else ["-api", "async"]
        result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
        if result.returncode != 0:
            raise SystemExit(result.stdout[-2000:] + result.stderr[-2000:])
        (report,) = Path(folder).glob("*.json")
        found = json.loads(report.read_text())["execution_results"]
    if target["mode"] == "latency":
        return 1e3 * float(found["latency (ms)"])
    return 1e6 * float(target["streams"]) / float(found["throughput"])


if __name__ == "__main__":
    main()
