from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from search.nsga2 import search_nsga2

from search.problem import Problem

SCRIPT = """
import json, sys
import numpy as np
from search.nsga2 import search_nsga2
from search.problem import Problem
from supernet import Space

space = Space.from_json(json.load(sys.stdin))

class Latency:
    def predict_codes(self, codes):
        return 5.0 + (codes * np.arange(1, codes.shape[1] + 1)).sum(axis=1)

class Depth:
    def of(self, architecture):
        return sum(architecture.width) ** 0.5 + sum(architecture.depth)

problem = Problem(space, Depth(), Latency(), 60)
search_nsga2(problem, np.random.default_rng(int(sys.argv[1])))
print(json.dumps([str(a) for a in problem.candidates]))
"""


def search(space, quality, latency, budget, seed=0, **options) -> Problem:
    problem = Problem(space, quality, latency, budget)
    search_nsga2(problem, np.random.default_rng(seed), **options)
    return problem


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_finds_the_front_with_a_fraction_of_the_space(space, quality, latency, all_codes, hypervolume, seed):
    codes = all_codes(space)
    points = np.stack([latency.predict_codes(codes), quality.of_codes(codes)], axis=1)
    worst = (points[:, 0].max() * 1.01, points[:, 1].min() * 0.99)
    whole = hypervolume(points.tolist(), worst)
    budget = len(codes) // 10
    problem = search(space, quality, latency, budget, seed)
    found = hypervolume([(c.latency_us, c.quality) for c in problem.front()], worst)
    assert len(problem.candidates) == budget
    assert 0.95 * whole <= found <= whole * (1 + 1e-9)


def test_every_candidate_is_in_the_space_and_not_random(space, quality, latency):
    problem = search(space, quality, latency, 40)
    assert [space.decode(space.encode(a)) for a in problem.candidates] == list(problem.candidates)
    assert {space.largest, space.smallest} <= set(problem.candidates)


@pytest.mark.parametrize("budget", [1, 2, 5, 30])
def test_the_extremes_are_evaluated_however_small_the_budget(space, quality, latency, budget):
    problem = search(space, quality, latency, budget)
    assert {space.largest, space.smallest if budget > 1 else space.largest} <= set(problem.candidates)
    assert len(problem.candidates) == budget


def test_same_seed_same_candidates(space, quality, latency):
    runs = [list(search(space, quality, latency, 80, seed).candidates) for seed in (3, 3, 4)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_same_seed_in_another_process(space):
    def candidates(hash_seed: str, seed: str) -> list[str]:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.getcwd()}
        text = json.dumps(space.to_json())
        command = [sys.executable, "-c", SCRIPT, seed]
        found = subprocess.run(
            command, input=text, text=True, capture_output=True, env=environment, check=True
        )
        return json.loads(found.stdout)

    first = candidates("1", "7")
    assert len(first) == 60
    assert candidates("2", "7") == first
    assert candidates("2", "8") != first


@pytest.mark.parametrize(
    ("width", "max_dropped"),
    [((0.5, 1.0), 0), ((1.0,), 1), pytest.param((0.5, 1.0), 1, marks=pytest.mark.slow)],
)
def test_ends_on_a_space_smaller_than_the_budget(
    make_tiny_network, all_codes, objectives, width, max_dropped
):
    space = make_tiny_network(width, max_dropped=max_dropped).space
    size = len(all_codes(space))
    assert round(10**space.log10_size) == size
    problem = search(space, *objectives(space), 10_000)
    assert 0.9 * size <= len(problem.candidates) <= size
