"""What every registered search algorithm must do."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from search.algorithms import registry
from search.algorithms.registry import ALGORITHMS, make_algorithm
from search.constraints import Limit
from search.objectives import parse_objectives
from search.problem import Problem
from supernet import OvnasError

SPENDING = [name for name in ALGORITHMS if name != "exhaustive"]

SCRIPT = """
import json, sys
import numpy as np
from search.algorithms.registry import make_algorithm
from search.problem import Problem
from search.quality import Quality
from supernet import Space

space = Space.from_json(json.load(sys.stdin))

class Latency:
    def predict_codes(self, codes):
        return 5.0 + (codes * np.arange(1, codes.shape[1] + 1)).sum(axis=1)

class Depth(Quality):
    name, is_accuracy = "depth", False
    def of(self, architecture):
        return sum(architecture.width) ** 0.5 + sum(architecture.depth)

problem = Problem(space, Depth(), Latency(), 40)
make_algorithm(sys.argv[1]).search(problem, np.random.default_rng(int(sys.argv[2])))
print(json.dumps([str(a) for a in problem.candidates]))
"""


@pytest.fixture
def run(space, quality, latency):
    def run(name: str, budget: int, seed: int = 0, **options) -> Problem:
        problem = Problem(space, quality, latency, budget, **options)
        make_algorithm(name).search(problem, np.random.default_rng(seed))
        return problem

    return run


def test_registered_names_and_a_second_registration(monkeypatch):
    assert list(ALGORITHMS) == ["guided", "nsga2", "random", "exhaustive"]
    monkeypatch.setattr(registry, "ALGORITHMS", dict(ALGORITHMS))
    with pytest.raises(ValueError, match="'nsga2' already"):
        registry.register("nsga2", "somewhere:Else")
    with pytest.raises(OvnasError, match=r"no search algorithm 'gided'; did you mean 'guided'\?"):
        make_algorithm("gided")


@pytest.mark.parametrize("name", SPENDING)
@pytest.mark.parametrize("budget", [1, 2, 7, 30])
def test_the_budget_is_kept_and_the_extremes_come_first(run, space, name, budget):
    problem = run(name, budget)
    assert problem.n_evaluated == len(problem.quality.asked) == budget
    assert list(problem.candidates)[:2] == [space.largest, space.smallest][: min(2, budget)]


@pytest.mark.parametrize("name", SPENDING)
def test_every_candidate_is_in_the_space_and_evaluated_once(run, space, name):
    problem = run(name, 40)
    assert [space.decode(space.encode(a)) for a in problem.candidates] == list(problem.candidates)
    assert len(set(problem.quality.asked)) == len(problem.quality.asked)


@pytest.mark.parametrize("name", SPENDING)
def test_same_seed_same_candidates(run, name):
    runs = [list(run(name, 40, seed).candidates) for seed in (3, 3, 4)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize("name", SPENDING)
def test_same_seed_in_another_process_with_another_hash_seed(space, name):
    def candidates(hash_seed: str) -> list[str]:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.getcwd()}
        text = json.dumps(space.to_json())
        command = [sys.executable, "-c", SCRIPT, name, "7"]
        found = subprocess.run(
            command, input=text, text=True, capture_output=True, env=environment, check=True
        )
        return json.loads(found.stdout)

    first = candidates("1")
    assert len(first) == 40
    assert candidates("2") == first


@pytest.mark.parametrize("name", SPENDING)
def test_a_killed_search_goes_on_where_it_was(space, quality, latency, run, name):
    """With what was evaluated kept, the second start evaluates only the rest, and ends the same."""
    whole = run(name, 40)
    kept = {a: c.quality for a, c in list(whole.candidates.items())[:25]}
    asked = []

    class Kept(type(quality)):
        def of(self, architecture):
            if architecture not in kept:
                asked.append(architecture)
                kept[architecture] = super().of(architecture)
            return kept[architecture]

    problem = Problem(space, Kept(space), latency, 40)
    make_algorithm(name).search(problem, np.random.default_rng(0))
    assert list(problem.candidates.values()) == list(whole.candidates.values())
    assert len(asked) == 15


@pytest.mark.parametrize("name", SPENDING)
def test_limits_are_kept_to(run, space, quality, latency, name):
    """A third of the space is feasible; the front holds nothing else."""
    codes = space.sample_codes(300, np.random.default_rng(1))
    bound = float(np.quantile(latency.predict_codes(codes), 0.33))
    problem = run(name, 50, limits=[Limit("max_latency", "latency", bound, is_upper=True)])
    front = problem.front()
    assert front
    assert all(c.latency_us <= bound * 1.000001 for c in front)
    if name != "random":
        inside = np.mean([c.latency_us <= bound for c in list(problem.candidates.values())[12:]])
        assert inside > 0.5


@pytest.mark.parametrize("name", SPENDING)
@pytest.mark.parametrize(
    "names", [("accuracy", "macs"), ("accuracy", "latency", "model_size"), ("accuracy", "throughput", "macs")]
)
def test_two_or_three_objectives(run, name, names):
    problem = run(name, 30, objectives=parse_objectives(names))
    points, _ = problem.evaluated()
    assert points.shape == (30, len(names))
    front = problem.front()
    for one in front:
        values = problem.points(problem.values_of([one]))[0]
        assert not ((points <= values).all(axis=1) & (points < values).any(axis=1)).any()
    assert 0 < problem.hypervolume() <= 1.0001


@pytest.mark.parametrize("name", ["guided", "nsga2"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_finds_the_front_with_a_fraction_of_the_space(
    space, quality, latency, all_codes, hypervolume, run, name, seed
):
    codes = all_codes(space)
    points = np.stack([latency.predict_codes(codes), quality.of_codes(codes)], axis=1)
    worst = (points[:, 0].max() * 1.01, points[:, 1].min() * 0.99)
    whole = hypervolume(points.tolist(), worst)
    problem = run(name, len(codes) // 10, seed)
    found = hypervolume([(c.latency_us, c.quality) for c in problem.front()], worst)
    least = {"guided": 0.99, "nsga2": 0.95}[name]
    assert least * whole <= found <= whole * (1 + 1e-9)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_ends_on_a_space_smaller_than_the_budget(make_tiny_network, all_codes, objectives, name):
    space = make_tiny_network((0.5, 1.0), max_dropped=0).space
    size = len(all_codes(space))
    assert round(10**space.log10_size) == size
    problem = Problem(space, *objectives(space), 10_000)
    make_algorithm(name).search(problem, np.random.default_rng(0))
    least = {"exhaustive": size, "guided": 8}.get(name, 0.9 * size)  # guided may stop: it has stopped growing
    assert least <= len(problem.candidates) <= size
