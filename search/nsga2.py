"""NSGA-II by pymoo (Deb et al. 2002), on integer codes."""

from __future__ import annotations

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.core.problem import Problem as PymooProblem
from pymoo.operators.crossover.ux import UniformCrossover
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.problems.static import StaticProblem

from search.problem import Problem

__all__ = ["search_nsga2"]

MAX_STALLED = 20


def search_nsga2(problem: Problem, rng: np.random.Generator, *, population: int | None = None) -> None:
    """Evaluates until the problem's budget is spent, or nothing new was found in 20 generations."""
    space = problem.space
    sizes = np.array([len(slot.choices) for slot in space.slots])
    population = population or int(np.clip(problem.budget // 5, 8, 100))
    start = space.sample_codes(population, rng)
    start[: min(2, population)] = [sizes - 1, np.zeros_like(sizes)][: min(2, population)]
    start = space.canonical(start)
    _, first = np.unique(start, axis=0, return_index=True)  # in order: a small budget takes the extremes
    algorithm = NSGA2(
        pop_size=population,
        sampling=start[np.sort(first)],
        crossover=UniformCrossover(repair=RoundingRepair()),
        mutation=PM(prob=0.9, eta=3, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    description = PymooProblem(n_var=len(sizes), n_obj=2, xl=np.zeros(len(sizes)), xu=sizes - 1, vtype=int)
    algorithm.setup(description, seed=int(rng.integers(2**31)), verbose=False)
    stalled = 0
    while not problem.is_used_up and stalled < MAX_STALLED:
        before = len(problem.candidates)
        asked: Population | None = algorithm.ask()
        if asked is None:  # every offspring is in the population already
            break
        codes = space.canonical(np.asarray(asked.get("X"), dtype=np.int64))
        asked.set("X", codes)
        objectives = problem.evaluate(codes)
        if problem.is_used_up:  # what did not fit has no objectives to rank by
            break
        Evaluator().eval(StaticProblem(description, F=objectives), asked)
        algorithm.tell(infills=asked)
        stalled = stalled + 1 if len(problem.candidates) == before else 0
