"""Synthetic objectives over a real space, and a measuring lock of the tests' own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from profiling.kernel import Kernel
from profiling.lock import measuring
from profiling.plan import Plan
from search.csv_files import write_candidates
from search.domination import nondominated
from search.layers import layers_of_plan
from search.problem import Candidate
from search.quality import Quality
from search.report import write_page
from search.result import SCHEMA_VERSION
from search.selection import pick_finalists
from supernet import Architecture, Space


class SyntheticQuality(Quality):
    """Concave in each slot's choice, with weights of its own; counts its calls."""

    name = "synthetic"
    is_accuracy = False

    def __init__(self, space: Space, seed: int = 0) -> None:
        self.space = space
        self.weights = np.random.default_rng(seed).uniform(0.2, 1, len(space.slots))
        self.asked: list[Architecture] = []

    def of(self, architecture: Architecture) -> float:
        self.asked.append(architecture)
        return float(self.of_codes(np.array([self.space.encode(architecture)]))[0])

    def of_codes(self, codes: np.ndarray) -> np.ndarray:
        return np.sqrt((codes + 1) * self.weights).sum(axis=1)


class SyntheticLatency:
    """Stands for a compiled predictor: 100 us, and a positive cost of each slot's choice."""

    def __init__(self, space: Space, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.costs = [np.sort(rng.uniform(1, 50, len(slot.choices))) for slot in space.slots]

    def predict_codes(self, codes: np.ndarray) -> np.ndarray:
        return 100 + sum(cost[codes[:, i]] for i, cost in enumerate(self.costs))


def all_codes(space: Space) -> np.ndarray:
    """Every architecture once, shape (n, n_slots)."""
    rows = list(itertools.product(*(range(len(slot.choices)) for slot in space.slots)))
    return np.unique(space.canonical(np.array(rows)), axis=0)


def hypervolume(points: Sequence[tuple[float, float]], worst: tuple[float, float]) -> float:
    """Area that (latency, quality) points dominate, bounded by `worst`."""
    area, best = 0.0, worst[1]
    for latency, quality in sorted(points):
        if quality > best:
            area += (worst[0] - latency) * (quality - best)
            best = quality
    return area


@pytest.fixture(scope="session", name="all_codes")
def _all_codes():
    return all_codes


@pytest.fixture(scope="session", name="hypervolume")
def _hypervolume():
    return hypervolume


@pytest.fixture
def space(tiny_network) -> Space:
    return tiny_network.space


@pytest.fixture(scope="session")
def objectives():
    """A synthetic quality and latency of any space."""
    return lambda space: (SyntheticQuality(space), SyntheticLatency(space))


@pytest.fixture
def quality(space) -> SyntheticQuality:
    return SyntheticQuality(space)


@pytest.fixture
def latency(space) -> SyntheticLatency:
    return SyntheticLatency(space)


@pytest.fixture(scope="session")
def candidates_of():
    """Candidates with the given (latency_us, quality) and architectures of their own."""

    def make(points: Sequence[tuple[float, float]]) -> list[Candidate]:
        return [
            Candidate(Architecture((i,)), float(q), float(us), 1000 + i) for i, (us, q) in enumerate(points)
        ]

    return make


@pytest.fixture(scope="session")
def own_lock(tmp_path_factory) -> Iterator[Path]:
    """Measuring in tests neither waits for a measurement on this machine nor hinders one."""
    folder = tmp_path_factory.mktemp("lock")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring.__wrapped__, "__defaults__", (folder / "ovnas-measuring.lock",))
        patch.setenv("TMPDIR", str(folder))  # where the processes that we start look for it
        yield folder


MACHINE = {
    "cpu_model": "CPU & co",
    "cpu_family": "6.1",
    "openvino": "2026.1.0-1-abc",
    "logical_cpus": 2,
    "flags": ["avx2", "avx512_vnni"],
}


BASELINE_TOP1 = 0.9889


@dataclass(frozen=True)
class Found:
    """A search that never ran: a search.json value and the candidates that belong to it."""

    value: dict[str, Any]
    candidates: list[Candidate]
    front: list[Candidate]
    chosen: list[Candidate]

    def write_page(self, path: Path) -> str:
        """The page's text."""
        write_page(self.value, self.candidates, self.front, self.chosen, path)
        return path.read_text(encoding="utf-8")

    def write_csv(self, path: Path) -> None:
        """candidates.csv, as a search leaves it."""
        write_candidates(self.candidates, path, is_accuracy=True)


def kernel_us(kernel: Kernel) -> float:
    """A law of its own: something for each kernel, its MACs and its bytes."""
    return 0.4 + 5e-6 * kernel.macs + 2e-5 * kernel.out_channels * kernel.out_height * kernel.out_width


def found_of(plan: Plan, n_candidates: int = 120, n_finalists: int = 8, seed: int = 0) -> Found:
    """Every figure that search.json has, made up, over a real plan."""
    rng = np.random.default_rng(seed)
    space = plan.space
    codes = np.unique(space.sample_codes(3 * n_candidates, rng), axis=0)
    codes = rng.permutation(codes)[:n_candidates]
    times = {k: kernel_us(k) for a in map(space.decode, codes) for k in plan.of(a)}
    times |= {k: kernel_us(k) for k in plan.of(space.largest)}
    most = space.macs(space.largest)
    baseline_us = 5.0 + sum(times[k] for k in plan.of(space.largest))

    def candidate(architecture: Architecture) -> Candidate:
        share = space.macs(architecture) / most
        top1 = 0.992 - 0.003 * (1 - share) ** 3 / (share + 0.02) - 0.003 * rng.exponential()
        us = 5.0 + sum(times[k] for k in plan.of(architecture))
        macs = space.macs(architecture)
        return Candidate(architecture, max(0.1, top1), round(us, 3), macs, macs // 60, macs // 50)

    candidates = [candidate(space.decode(row)) for row in codes]
    points = np.array([(c.latency_us, -c.quality) for c in candidates])
    kept = nondominated(points)
    front = sorted((c for c, good in zip(candidates, kept, strict=True) if good), key=lambda c: c.latency_us)
    least = front[-1].quality - 0.014
    chosen = pick_finalists([c for c in front if c.quality >= least], n_finalists)
    finalists = [_made_up(c, baseline_us, rng) for c in chosen]
    if len(finalists) > 2:
        finalists[0] |= {"is_feasible": False, "violations": ["max_accuracy_drop: 1.70 > 1 points"]}
    value = {
        "schema_version": SCHEMA_VERSION,
        "study": "digits <b>",
        "machine": MACHINE,
        "target": {"mode": "latency", "threads": 1, "streams": 1, "batch": 1},
        "throughput_target": {"mode": "throughput", "threads": 2, "streams": 2, "batch": 1},
        "seed": seed,
        "seconds": 171.3,
        "command": "python -m search.run --study digits --max-accuracy-drop 1",
        "algorithm": "guided",
        "predictor": "xgb",
        "quality": "validation top-1",
        "is_accuracy": True,
        "objectives": ["accuracy", "latency", "macs"],
        "constraints": {"max_latency_us": None, "min_speedup": None, "max_accuracy_drop": 1.0},
        "evaluations": {
            "accuracy_measured": len(candidates),
            "latency_predicted": 1_234_567,
            "latency_measured": len(finalists) + 1,
        },
        "history": [
            {"evaluations": n, "hypervolume": 0.8 - 0.4 * float(np.exp(-n / 25)), "n_front": 3 + n // 12}
            for n in range(10, len(candidates) + 1, 10)
        ],
        "reference_point": {
            "worst": {"accuracy": 0.1, "latency": 1234.5678},
            "best": {"accuracy": 1.0, "latency": 98.7654},
        },
        "baseline_quality": 0.9917,
        "machine_speed": 0.97,
        "half_range_weights": False,
        "versions": {"ovnas": "0.1.0", "nncf": "3.1.0", "torch": "2.13.0"},
        "supernet": 64 * "a",
        "predictor_data": 16 * "b",
        "copies": 6,
        "rounds_a_copy": 6,
        "calibration_samples": 850,
        "batchnorm_samples": 512,
        "n_test": 360,
        "baseline": {
            "architecture": str(space.largest),
            "macs": most,
            "n_parameters": 2_777_674,
            "model_bytes": 2_900_000,
            "top1_fp32": 0.9917,
            "top1_int8": BASELINE_TOP1,
            "top1_int8_se": 0.0055,
            "latency_us": baseline_us / 0.97,
            "throughput_sps": 2e6 / baseline_us,
            "fp32": {"latency_us": 3.1 * baseline_us, "throughput_sps": 0.6e6 / baseline_us},
            "int8_layers": [24, 24],
            "files": _files("baseline"),
        },
        "finalists": [{**one, "files": _files(f"{i:02d}")} for i, one in enumerate(finalists, start=1)],
        "layers": {**layers_of_plan(plan, [c.architecture for c in chosen], times), "overhead_us": 5.0},
        "mlperf": None,
    }
    return Found(value, candidates, front, chosen)


def _made_up(candidate: Candidate, baseline_us: float, rng: np.random.Generator) -> dict[str, Any]:
    us = candidate.latency_us * rng.normal(1, 0.012)  # at the machine's speed when it was profiled
    speedup, top1 = baseline_us / us, candidate.quality - 0.002 * rng.exponential()
    ratios = {"speedup": speedup, "throughput_speedup": 1.04 * speedup, "speedup_fp32": 3.1 * 0.97 * speedup}
    ratios["throughput_speedup_fp32"] = 1.02 * ratios["speedup_fp32"]
    intervals = {f"{name}_interval": [0.993 * r, 1.006 * r] for name, r in ratios.items()}
    return {
        "architecture": str(candidate.architecture),
        "is_finetuned": False,
        "macs": candidate.macs,
        "n_parameters": candidate.n_parameters,
        "model_bytes": candidate.model_bytes,
        "predicted": {
            "latency_us": candidate.latency_us,
            "interval_us": [0.98 * candidate.latency_us, 1.02 * candidate.latency_us],
            "top1": candidate.quality,
        },
        "measured": {
            "latency_us": us / 0.97,
            "latency_then_us": us,
            "throughput_sps": 2.08e6 / us,
            **ratios,
            **intervals,
            "is_faster": 0.993 * speedup > 1,
            "top1_fp32": top1 + 0.002,
            "top1_int8": top1,
            "top1_int8_se": float(np.sqrt(top1 * (1 - top1) / 360)),
            "top1_int8_change": top1 - BASELINE_TOP1,
            "top1_int8_change_se": 0.004,
        },
        "machine_speed": 0.97,
        "is_inside_interval": bool(abs(us / candidate.latency_us - 1) < 0.02),
        "is_feasible": True,
        "violations": [],
        "int8_layers": [20, 20],
        "round": 1,
    }


def _files(folder: str) -> dict[str, str]:
    names = {"ir": "model.xml", "onnx": "model.onnx", "weights": "weights.safetensors"}
    names |= {"architecture": "architecture.txt", "card": "card.json"}
    return {kind: f"runs/digits/search/finalists/{folder}/{name}" for kind, name in names.items()}


@pytest.fixture(scope="session")
def make_found(tiny_plan: Plan) -> Callable[..., Found]:
    """Makes a search's results over the small residual network, so that a page needs no search."""

    def make(plan: Plan | None = None, **options: int) -> Found:
        return found_of(plan or tiny_plan, **options)

    return make


@pytest.fixture
def found(make_found: Callable[..., Found]) -> Found:
    """One of its own for each test, which may change it."""
    return make_found(n_candidates=24, n_finalists=4)
