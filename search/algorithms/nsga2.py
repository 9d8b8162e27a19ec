"""NSGA-II by pymoo (Deb et al. 2002), on integer codes, with constraint domination."""

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

from search.algorithms.base import Algorithm, extremes
from search.problem import Problem

__all__ = ["Nsga2"]

MAX_STALLED = 20


class Nsga2(Algorithm):
    """Evaluates until the problem's budget is spent, or nothing new was found in 20 generations."""

    def __init__(self, population: int | None = None) -> None:
        """`population` None: a fifth of the budget, between 8 and 100."""
        self.population = population

    def search(self, problem: Problem, rng: np.random.Generator) -> None:
        space = problem.space
        sizes = np.array([len(slot.choices) for slot in space.slots])
        population = self.population or int(np.clip(problem.budget // 5, 8, 100))
        start = np.concatenate([extremes(space), space.sample_codes(population, rng)])
        _, first = np.unique(start, axis=0, return_index=True)  # in order: a small budget takes the extremes
        algorithm = NSGA2(
            pop_size=population,
            sampling=start[np.sort(first)][:population],
            crossover=UniformCrossover(repair=RoundingRepair()),
            mutation=PM(prob=0.9, eta=3, vtype=float, repair=RoundingRepair()),
            eliminate_duplicates=True,
        )
        description = PymooProblem(
            n_var=len(sizes),
            n_obj=len(problem.objectives),
            n_ieq_constr=1,
            xl=np.zeros(len(sizes)),
            xu=sizes - 1,
            vtype=int,
        )
        algorithm.setup(description, seed=int(rng.integers(2**31)), verbose=False)
        stalled = 0
        while not problem.is_used_up and stalled < MAX_STALLED:
            before = len(problem.candidates)
            asked: Population | None = algorithm.ask()
            if asked is None:  # every offspring is in the population already
                break
            codes = space.canonical(np.asarray(asked.get("X"), dtype=np.int64))
            asked.set("X", codes)
            points, excess = problem.evaluate(codes)
            if problem.is_used_up:  # what did not fit has no objectives to rank by
                break
            Evaluator().eval(StaticProblem(description, F=points, G=excess[:, None]), asked)
            algorithm.tell(infills=asked)
            stalled = stalled + 1 if len(problem.candidates) == before else 0
