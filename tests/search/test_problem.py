from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from search.constraints import Limit
from search.history import history_of
from search.objectives import parse_objectives
from search.problem import Problem
from search.sizes import Sizes


def dominates(a, b) -> bool:
    better = a.quality > b.quality or a.latency_us < b.latency_us
    return better and a.quality >= b.quality and a.latency_us <= b.latency_us


@pytest.mark.parametrize("budget", [1, 7, 50])
def test_budget_is_kept_exactly(space, quality, latency, rng, budget):
    problem = Problem(space, quality, latency, budget)
    codes = np.unique(space.sample_codes(200, rng), axis=0)
    rng.shuffle(codes)
    assert len(codes) > budget
    result, excess = problem.evaluate(codes)
    assert (excess[:budget] == 0).all()
    assert np.isposinf(excess[budget:]).all()
    assert len(quality.asked) == len(problem.candidates) == budget
    assert problem.is_used_up
    assert np.isfinite(result[:budget]).all()
    assert np.isposinf(result[budget:]).all()
    np.testing.assert_allclose(result[:budget, 0], -quality.of_codes(codes[:budget]))
    np.testing.assert_allclose(result[:budget, 1], latency.predict_codes(codes[:budget]))
    again, _ = problem.evaluate(codes[: budget + 1])  # what is known stays known when nothing is left
    np.testing.assert_array_equal(again, result[: budget + 1])
    assert len(quality.asked) == budget


def test_repeats_cost_nothing(space, quality, latency, rng):
    seen = []
    problem = Problem(space, quality, latency, 1000, seen.append)
    codes = space.sample_codes(30, rng)
    twice, _ = problem.evaluate(np.concatenate([codes, codes]))
    n = len(np.unique(codes, axis=0))
    assert len(problem.candidates) == len(quality.asked) == n
    assert seen == list(range(1, n + 1))
    assert not problem.is_used_up
    np.testing.assert_array_equal(twice[:30], twice[30:])
    assert problem.n_predicted == n


def test_codes_that_mean_one_network_count_once(space, quality, latency):
    slot = next(i for i, s in enumerate(space.slots) if s.block is not None)
    depth = space.slots[slot].block.slot
    row = np.zeros(len(space.slots), dtype=np.int64)
    codes = np.stack([row] * len(space.slots[slot].choices))
    codes[:, slot] = range(len(codes))
    dropped = Problem(space, quality, latency, 100)
    result, _ = dropped.evaluate(codes)
    assert len(dropped.candidates) == 1
    assert len(np.unique(result, axis=0)) == 1
    codes[:, depth] = len(space.slots[depth].choices) - 1
    kept = Problem(space, quality, latency, 100)
    kept.evaluate(codes)
    assert len(kept.candidates) == len(codes)


def test_candidates_say_what_they_are(space, quality, latency, rng):
    problem = Problem(space, quality, latency, 20)
    problem.evaluate(space.sample_codes(40, rng))
    for architecture, candidate in problem.candidates.items():
        assert candidate.architecture == architecture
        assert candidate.macs == space.macs(architecture)
    everyone = list(problem.candidates.values())
    brute = {(c.latency_us, c.quality) for c in everyone if not any(dominates(o, c) for o in everyone)}
    assert [(c.latency_us, c.quality) for c in problem.front()] == sorted(brute)


def test_a_candidate_knows_its_sizes(space, quality, latency, tiny_network):
    problem = Problem(space, quality, latency, 1, sizes=Sizes.of_network(tiny_network))
    problem.evaluate(np.array([space.encode(space.largest)]))
    (one,) = problem.candidates.values()
    assert one.n_parameters == sum(p.numel() for p in tiny_network.extract(space.largest).parameters())
    assert one.model_bytes > one.n_parameters / 2


def test_nothing_feasible_gives_the_nearest_seen(space, quality, latency, rng):
    impossible = [Limit("max_latency", "latency", 1.0, is_upper=True)]
    problem = Problem(space, quality, latency, 30, limits=impossible)
    problem.evaluate(space.sample_codes(60, rng))
    assert not problem.has_feasible
    (nearest,) = problem.front()
    assert nearest.latency_us == min(c.latency_us for c in problem.candidates.values())
    assert problem.hypervolume() == 0


def test_what_an_earlier_round_found_costs_nothing_and_has_latencies_of_now(space, quality, latency, rng):
    first = Problem(space, quality, latency, 10)
    first.evaluate(space.sample_codes(40, rng))
    slower = SimpleNamespace(predict_codes=lambda codes: 2 * latency.predict_codes(codes))
    second = Problem(space, quality, slower, 5)
    second.adopt(first.candidates.values())
    assert second.n_evaluated == 0
    for architecture, candidate in second.candidates.items():
        assert candidate.latency_us == pytest.approx(2 * first.candidates[architecture].latency_us)
    second.evaluate(space.sample_codes(40, rng))
    assert second.n_evaluated == 5
    assert second.is_used_up


def test_the_reference_is_the_extremes_within_the_limits(space, quality, latency):
    ends = np.array([space.encode(space.largest), space.encode(space.smallest)])
    problem = Problem(space, quality, latency, 2)
    problem.evaluate(ends)
    us, q = latency.predict_codes(ends), quality.of_codes(ends)

    def beyond(worst: float, best: float) -> float:
        return worst + 0.02 * (worst - best)

    assert problem.reference().to_json(problem.objectives) == {
        "worst": {
            "accuracy": pytest.approx(beyond(q[1], q[0])),
            "latency": pytest.approx(beyond(us[0], us[1])),
        },
        "best": {"accuracy": pytest.approx(q[0]), "latency": pytest.approx(us[1])},
    }
    bounded = Problem(space, quality, latency, 2, limits=[Limit("x", "latency", us.mean(), is_upper=True)])
    bounded.evaluate(ends)
    assert bounded.reference().worst[1] == pytest.approx(beyond(us.mean(), us[1]))


def test_more_may_be_asked_than_the_smallest_gives(space, quality, latency):
    """Some network that suits the kernels better may be faster than the smallest: a share of a box."""
    ends = np.array([space.encode(space.largest), space.encode(space.smallest)])
    us, q = latency.predict_codes(ends), quality.of_codes(ends)
    problem = Problem(
        space, quality, latency, 2, limits=[Limit("max_latency", "latency", 0.9 * us[1], is_upper=True)]
    )
    problem.evaluate(ends)
    reference = problem.reference()
    assert reference.best[1] == pytest.approx(0.9 * us[1] - (us[0] - us[1]))
    assert 0 < reference.hypervolume(np.array([[-q[0], 0.89 * us[1]]])) < 0.1


def test_what_is_just_as_good_as_asked_for_counts(space, quality, latency):
    ends = np.array([space.encode(space.largest), space.encode(space.smallest)])
    least = float(quality.of_codes(ends)[1])
    limit = Limit("max_accuracy_drop", "accuracy", least, is_upper=False)
    problem = Problem(space, quality, latency, 1, limits=[limit])
    problem.evaluate(ends[1:])
    assert problem.has_feasible
    both = Problem(space, quality, latency, 2, limits=[limit])
    both.evaluate(ends)
    assert both.reference().hypervolume(both.evaluated()[0][1:]) > 0


def test_history_rises_to_the_hypervolume(space, quality, latency, rng):
    problem = Problem(space, quality, latency, 60)
    problem.evaluate(np.array([space.encode(space.largest), space.encode(space.smallest)]))
    problem.evaluate(space.sample_codes(200, rng))
    found = history_of(problem, problem.reference())
    volumes = [one["hypervolume"] for one in found]
    assert [one["evaluations"] for one in found] == list(range(1, 61))
    assert volumes == sorted(volumes)
    assert volumes[-1] == pytest.approx(problem.hypervolume())
    assert found[-1]["n_front"] == len(problem.front())
    assert len(history_of(problem, problem.reference(), n_points=7)) == 7


class TestRivals:
    """`accuracy` of four hundred images, whose standard error near 0.95 is 0.011."""

    @pytest.fixture
    def problem(self, space, quality, latency, rng) -> Problem:
        quality.is_accuracy = True
        quality.of = lambda a: 0.9 + 0.1 * ((space.macs(a) * 7919) % 1000) / 1000
        quality.standard_error = lambda q: (q * (1 - q) / 400) ** 0.5
        problem = Problem(space, quality, latency, 300)
        problem.evaluate(np.unique(space.sample_codes(300, rng), axis=0))
        return problem

    def test_cannot_be_told_from_any_of_the_front_that_is_as_fast(self, problem, space):
        front = problem.front()
        worth = [f.quality - (f.quality * (1 - f.quality) / 400) ** 0.5 for f in front]
        expected = [
            c
            for c in problem.candidates.values()
            if c not in front
            and c.architecture != space.largest
            and all(
                c.quality >= least
                for f, least in zip(front, worth, strict=True)
                if f.latency_us <= c.latency_us
            )
        ]
        slowest = max(c.latency_us for c in front)
        assert 0 < sum(c.latency_us < slowest for c in expected) < len(expected)
        assert problem.rivals() == sorted(expected, key=lambda c: c.latency_us)

    def test_are_beside_those_that_cost_as_little_of_what_was_asked_for(self, space, quality, latency, rng):
        """Parameters, where latency was not asked for; both together; and always within a standard error."""
        quality.is_accuracy = True
        quality.of = lambda a: 0.9 + 0.1 * ((space.macs(a) * 7919) % 1000) / 1000
        quality.standard_error = lambda q: 0.02
        for names, figures in (
            (["accuracy", "parameters"], ("n_parameters",)),
            (["accuracy", "latency", "parameters"], ("latency_us", "n_parameters")),
        ):
            problem = Problem(space, quality, latency, 100, objectives=parse_objectives(names))
            problem.evaluate(np.unique(space.sample_codes(100, rng), axis=0))
            found = problem.rivals()
            assert found
            for rival in found:
                better = [
                    f.quality
                    for f in problem.front()
                    if all(getattr(f, name) <= getattr(rival, name) for name in figures)
                ]
                assert max(better) - 0.02 <= rival.quality <= max(better)

    def test_are_feasible(self, problem, space, quality, latency):
        bound = float(np.quantile([c.latency_us for c in problem.candidates.values()], 0.95))
        limited = Problem(space, quality, latency, 300, limits=[Limit("max_latency", "latency", bound, True)])
        limited.evaluate(space.encode_all(problem.candidates))
        found = limited.rivals()
        assert found
        assert all(c.latency_us <= bound for c in found)

    def test_there_are_none_of_a_stand_in_or_of_an_exact_accuracy(self, problem, quality):
        quality.standard_error = lambda q: 0.0
        assert {c.quality for c in problem.rivals()} <= {c.quality for c in problem.front()}
        assert len(problem.rivals()) < len(problem.candidates) / 2
        quality.is_accuracy = False
        assert problem.rivals() == []
