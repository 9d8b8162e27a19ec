"""The benchmarks of searches judge rightly, on synthetic objectives."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from search.problem import Problem

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def efficiency() -> ModuleType:
    return loaded("search_efficiency")


@pytest.fixture(scope="module")
def choice() -> ModuleType:
    return loaded("predictor_choice")


@pytest.mark.parametrize("most", [4, 12])
def test_a_thinned_space_is_small_and_a_part_of_the_whole(efficiency, space, all_codes, most):
    part = efficiency.thinned(space, most)
    members = [part.decode(row) for row in all_codes(part)]
    assert most / 2 < len(members) <= most
    assert all(space.decode(space.encode(a)) == a for a in members)


def test_guided_is_held_against_a_space_evaluated_whole(efficiency, space, objectives):
    def problem_of(part, budget: int) -> Problem:
        quality, latency = objectives(part)
        quality.weights /= 1_000  # fractions, as accuracies are
        return Problem(part, quality, latency, budget)

    found = efficiency.enumerated(problem_of, efficiency.thinned(space, 32), 2)
    for one in found["guided"]:
        assert one["evaluations"] < found["architectures"]
        assert one["share"] == pytest.approx(one["curve"][-1], abs=1e-5)
        assert 0.99 <= one["share"] <= 1
        assert (
            one["curve"][one["evaluations_to_share"] - 2]
            < 0.99
            <= one["curve"][one["evaluations_to_share"] - 1]
        )


def test_decisions_are_made_by_prediction_and_judged_by_measurement(choice, candidates_of):
    *one, other = candidates_of([(10, 0.8), (20, 0.9), (30, 0.95), (1, 0.85)])
    measured = {c.architecture: us for c, us in zip([*one, other], [1.0, 2.0, 3.0, 1.5], strict=True)}
    rows = choice.decide({"xgb": one, "macs": [other]}, measured)
    # 0.8 and 0.85 are what both can offer; for 0.85, xgb takes its second network
    assert [row["quality"] for row in rows] == [0.8, 0.85]
    assert [row["macs"] for row in rows] == [1.5, 1.5]
    assert [row["xgb"] for row in rows] == [1.0, 2.0]


def test_the_interval_of_a_gain_knows_that_decisions_of_a_seed_go_together(choice):
    seeds = [np.full(20, 0.1), np.full(20, 0.3)]
    means = choice.drawn_means(seeds)
    assert sorted({round(m, 6) for m in means}) == [0.1, 0.2, 0.3]
