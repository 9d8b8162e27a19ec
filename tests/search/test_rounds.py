from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from search import rounds
from search.constraints import Constraints
from search.problem import Candidate, Problem
from search.settings import Settings
from search.sizes import Sizes
from supernet.architecture import Architecture
from supernet.study import Study


@pytest.fixture
def made(space, quality, latency, monkeypatch):
    """Makes the problem of `constraints` for a predictor whose baseline took 20 ms."""
    monkeypatch.setattr(Sizes, "of_network", lambda network: Sizes.of_space(space))
    source = SimpleNamespace(
        space=space, baseline_us=20e3, is_known=True, predict_codes=latency.predict_codes
    )
    arguments = SimpleNamespace(
        predictor="xgb", algorithm=None, objectives=None, evaluations=3, finalists=None, finetune=None,
        also=[], rounds=1, seed=0, mlperf=None, quick=False, latency_bound=None, max_latency=None,
        min_speedup=None, max_accuracy_drop=None, max_macs=None, max_size=None,
    )  # fmt: skip
    settings = Settings.of(Study.load("digits"), arguments)

    def make(constraints, **options):
        own = replace(settings, constraints=constraints)
        target = {"streams": 1, "batch": 1}
        material = SimpleNamespace(network=None)
        problem = rounds.make_problem(own, material, quality, source, target, None, **options)
        return {limit.option: limit.bound for limit in problem.limits}

    return make


def test_a_limit_in_milliseconds_means_the_machine_of_now(made):
    given = Constraints(max_latency_us=8e3, min_speedup=2.0)
    assert made(given) == {"max_latency": 8e3, "min_speedup": 10e3}
    # The baseline takes 25 ms now: what took 6.4 ms then, takes 8 ms. A ratio stays what it is.
    assert made(given, baseline_now_us=25e3) == {"max_latency": pytest.approx(6.4e3), "min_speedup": 10e3}
    assert made(Constraints(min_speedup=2.0), baseline_now_us=25e3) == {"min_speedup": 10e3}


def test_the_baseline_s_own_architecture_is_no_finalist_but_for_want_of_others():
    largest, other = (Candidate(Architecture.parse(text), 0.9, 1.0, 1) for text in ("w16", "w8"))
    chosen = rounds.without_baseline
    assert chosen([other, largest], largest.architecture, is_first=True) == [other]
    assert chosen([largest], largest.architecture, is_first=True) == [largest]
    assert chosen([largest], largest.architecture, is_first=False) == []


def test_what_is_asked_for_besides_is_among_the_candidates_once(space, quality, latency):
    inside, beyond = space.sample(np.random.default_rng(0)), space.sample(np.random.default_rng(1))
    problem = Problem(space, quality, latency, 1)
    also = (inside, space.decode(space.encode(inside)), beyond)
    problem.evaluate(space.encode_all(also))
    found = rounds.asked_for(problem, SimpleNamespace(also=also))
    assert [c.architecture for c in found] == [inside]  # the budget had room for one
    assert rounds.asked_for(problem, SimpleNamespace(also=())) == []
