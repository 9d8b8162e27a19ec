"""What a search is asked for: the study's [search], and the options that take its place."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from search.algorithms.registry import ALGORITHMS
from search.algorithms.registry import DEFAULT as DEFAULT_ALGORITHM
from search.constraints import Constraints
from search.objectives import OBJECTIVES, Objective, parse_objectives
from search.scenario import SCENARIOS, SERVER_BOUND_MS
from supernet.architecture import Architecture
from supernet.errors import OvnasError, nearest
from supernet.quantities import parse_count, parse_latency, parse_size
from supernet.study import SearchSection, Study

__all__ = ["MEASURE", "Settings", "add_options"]

# In place of a predictor's name: the benchmark in the loop.
MEASURE = "measure"
# Evaluations of a stand-in cost nothing, so a search may take many.
STAND_IN_EVALUATIONS = 20_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of a search; what is left out comes from the study."""
    parser.add_argument(
        "--predictor",
        default="xgb",
        metavar="NAME",
        help=f"a trained predictor of the study (default: xgb), or {MEASURE}: the benchmark in the loop",
    )
    parser.add_argument("--algorithm", choices=list(ALGORITHMS), help=f"default: {DEFAULT_ALGORITHM}")
    parser.add_argument(
        "--objectives", metavar="A,B", help=f"two or three of {', '.join(OBJECTIVES)} (accuracy,latency)"
    )
    parser.add_argument("--evaluations", type=int, metavar="N", help="real accuracy evaluations")
    parser.add_argument("--finalists", type=int, metavar="N", help="how many to build and measure")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="TEXT",
        help="an architecture to build and measure besides, as front.csv writes it, such as one that "
        "supernet.finetune has trained (may be given more than once)",
    )
    parser.add_argument(
        "--finetune",
        type=int,
        metavar="EPOCHS",
        help="train each finalist on, alone, before it is built, where that is not done yet",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=1,
        metavar="N",
        help="go on, with a predictor that has learned from the finalists, while one of them falls outside "
        "its interval or none keeps to the limits of speed and size, up to N times in all, each with its own "
        "--evaluations",
    )
    parser.add_argument("--max-latency", metavar="8ms", help="constraint: of one inference (us, ms, s)")
    parser.add_argument("--min-speedup", type=float, metavar="X", help="constraint: over the INT8 baseline")
    parser.add_argument(
        "--max-accuracy-drop",
        type=float,
        metavar="POINTS",
        help="constraint: points of top-1 below the pre-trained model, both in FP32 while searching, both in "
        "INT8 once built",
    )
    parser.add_argument("--max-macs", metavar="40M", help="constraint: multiply-accumulates of an image")
    parser.add_argument("--max-size", metavar="2MB", help="constraint: of the INT8 weights file")
    parser.add_argument(
        "--mlperf",
        nargs="?",
        const="offline",
        metavar="SCENARIO,...",
        help="run LoadGen on the baseline and the finalists (default: offline)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="with --mlperf: seconds in place of the rules' 10 minutes"
    )
    parser.add_argument(
        "--latency-bound", metavar="TIME",
        help="with --mlperf server: of the 99th percentile (default: 15ms, the rule for ResNet-50)",
    )  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """`evaluations` is None where neither the command nor data say how many; `finetune_epochs` is 0 where
    finalists keep the super-network's weights; `also` are built and measured besides `finalists`; `bound_ms`
    is of LoadGen's Server scenario."""

    predictor: str
    algorithm: str
    objectives: tuple[Objective, ...]
    constraints: Constraints
    evaluations: int | None
    finalists: int
    also: tuple[Architecture, ...]
    finetune_epochs: int
    rounds: int
    seed: int
    mlperf: tuple[str, ...]
    is_quick: bool
    bound_ms: float

    @property
    def budget(self) -> int:
        """Architectures that a search may evaluate."""
        return self.evaluations or STAND_IN_EVALUATIONS

    @classmethod
    def of(cls, study: Study, arguments: argparse.Namespace) -> Settings:
        """Raises OvnasError for what makes no sense."""
        section = study.search
        has_data = study.data.name != "none"
        for name in ("evaluations", "finalists", "rounds"):
            value = getattr(arguments, name)
            if value is not None and value < 1:
                raise OvnasError(f"--{name} must be >= 1, but got {value}")
        epochs = section.finetune_epochs if arguments.finetune is None else arguments.finetune
        if epochs < 0:
            raise OvnasError(f"--finetune must be >= 0 (epochs), but got {epochs}")
        if epochs and not has_data:
            raise OvnasError("--finetune needs data, and this study has none; give it a [data] section")
        algorithm = arguments.algorithm or section.algorithm
        if algorithm not in ALGORITHMS:
            raise OvnasError(f"[search] algorithm: no {algorithm!r}{nearest(algorithm, ALGORITHMS)}")
        if arguments.rounds > 1 and arguments.predictor == MEASURE:
            raise OvnasError(
                f"--rounds refreshes a predictor, and --predictor {MEASURE} has none; leave it out"
            )
        for option in ("quick", "latency_bound"):
            if getattr(arguments, option) and not arguments.mlperf:
                raise OvnasError(
                    f"--{option.replace('_', '-')} is of LoadGen's runs: add --mlperf, or leave it out"
                )
        scenarios = _scenarios(arguments.mlperf)
        if arguments.latency_bound and "server" not in scenarios:
            raise OvnasError("--latency-bound is of --mlperf server; leave it out")
        names = section.objectives if arguments.objectives is None else arguments.objectives.split(",")
        bound = arguments.latency_bound
        is_dear = has_data or arguments.predictor == MEASURE  # accuracies, or benchmarks in the loop
        return cls(
            predictor=arguments.predictor,
            algorithm=algorithm,
            objectives=parse_objectives([name.strip() for name in names]),
            constraints=_constraints(section, arguments, has_data=has_data),
            evaluations=arguments.evaluations or (section.evaluations if is_dear else None),
            finalists=arguments.finalists or section.finalists,
            also=tuple(dict.fromkeys(map(Architecture.parse, arguments.also))),
            finetune_epochs=epochs,
            rounds=arguments.rounds,
            seed=arguments.seed,
            mlperf=scenarios,
            is_quick=arguments.quick,
            bound_ms=SERVER_BOUND_MS if bound is None else parse_latency(bound, "--latency-bound") / 1e3,
        )


def _scenarios(text: str | None) -> tuple[str, ...]:
    """A typing error is noticed before the search, not after it."""
    names = tuple(name.strip() for name in text.split(",")) if text else ()
    for name in names:
        if name not in SCENARIOS:
            raise OvnasError(f"--mlperf: there is no scenario {name!r}{nearest(name, SCENARIOS)}")
    return names


def _given(option: str | None, of_study: str) -> str | None:
    """What the command says, be it nothing, or the study; None if neither does."""
    return option if option is not None else of_study or None


def _constraints(section: SearchSection, arguments: argparse.Namespace, *, has_data: bool) -> Constraints:
    drop = arguments.max_accuracy_drop
    if drop is not None and not 0 <= drop < float("inf"):
        raise OvnasError(f"--max-accuracy-drop must be >= 0 (points), but got {drop:g}")
    if drop is not None and not has_data:
        raise OvnasError("--max-accuracy-drop needs data, and this study has none; give it a [data] section")
    if arguments.min_speedup is not None and not 0 < arguments.min_speedup < float("inf"):
        raise OvnasError(f"--min-speedup must be > 0, but got {arguments.min_speedup:g}")
    latency = _given(arguments.max_latency, section.max_latency)
    macs, size = _given(arguments.max_macs, section.max_macs), _given(arguments.max_size, section.max_size)
    if drop is None:
        drop = section.max_accuracy_drop
    return Constraints(
        max_latency_us=None if latency is None else parse_latency(latency, "--max-latency"),
        min_speedup=arguments.min_speedup or section.min_speedup or None,
        max_accuracy_drop=drop if has_data else None,
        max_macs=None if macs is None else parse_count(macs, "--max-macs"),
        max_size_bytes=None if size is None else parse_size(size, "--max-size"),
    )
