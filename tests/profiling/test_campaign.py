from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from profiling import campaign
from profiling.budget import BLOCK, FIRST_BLOCK, REPEAT_COST, SET_UP_COST, Budget, n_to_repeat
from profiling.coverage import Chooser
from profiling.store import Store
from supernet import cli


class Clock:
    """Stands for `time`: every look at it is a second later."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def bench(known):
    """A bench whose networks need no measuring."""

    def prepare(architecture):
        return SimpleNamespace(
            architecture=architecture,
            model=architecture,
            kernels=known.kernels(architecture),
            prepare_s=0.1,
            is_planned=True,
        )

    same = SimpleNamespace(anchors=lambda: [], timer=lambda model: model)
    return SimpleNamespace(
        plan=known.plan, target=known.target, prepare=prepare, room=lambda: BLOCK, **vars(same)
    )


@pytest.fixture
def measure(known, bench, monkeypatch, tmp_path):
    """Runs `_measure` on a store of `n_before` networks; returns how many it holds after, and when."""

    def interleave(timers, anchors, rng, level):
        run.together.append(len(timers))
        return [disturb(a, known.rounds(a)) for a in timers]

    monkeypatch.setattr("profiling.block.interleave", interleave)
    monkeypatch.setattr("profiling.block.release_freed_memory", lambda: None)  # slow, and nothing is freed
    clock = Clock()
    seen: Counter = Counter()

    def disturb(architecture, rounds):
        """Networks of `disturbed` are disturbed the first so many times."""
        seen[architecture] += 1
        is_bad = seen[architecture] <= run.disturbed.get(architecture, 0)
        n_bad = run.flags.get((architecture, seen[architecture]), len(rounds) if is_bad else 0)
        return [replace(r, is_flagged=i < n_bad) for i, r in enumerate(rounds)]

    monkeypatch.setattr(campaign, "time", clock)
    options = cli.parser("x", "").parse_args(["--json"])

    def run(budget: Budget, n_before: int = 0):
        path = known.write(tmp_path / "m.sqlite", n_before)
        rng = np.random.default_rng(0)
        with Store.open(path, is_written=True) as store:
            campaign.measure(bench, store, budget, clock.now, rng, cli.console(options))
            run.seen, run.flagged = seen, {r.architecture: r.n_flagged for r in store.records()}
            return len(store.architectures()), clock.now

    run.disturbed, run.together, run.flags = {}, [], {}
    return run


def test_a_budget_of_networks_is_met_exactly(measure):
    assert measure(Budget(None, 14))[0] == 14


def test_a_collection_goes_on_where_it_stopped(measure):
    assert measure(Budget(None, 8), 4)[0] == 8


@pytest.mark.parametrize("room", [4, 7])
def test_no_more_are_resident_than_memory_has_room_for(measure, bench, capsys, room):
    bench.room = lambda: room
    assert measure(Budget(None, 20))[0] == 20
    assert max(measure.together) == room
    assert f"memory has room for {room} networks together, not 16" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", [20, 40, 60])
def test_a_budget_of_time_leaves_time_for_the_repeats(measure, seconds):
    """On a clock of one second a block; a repeat costs REPEAT_COST of a network."""
    start_s = 1
    n, used = measure(Budget(seconds, None))
    each = (used - start_s) / n
    repeats = REPEAT_COST * each * n_to_repeat(n) + SET_UP_COST * start_s
    assert used + repeats <= seconds + 1
    assert used + repeats > seconds - 6


def test_at_least_one_block_is_measured(measure):
    assert measure(Budget(0.001, None))[0] == FIRST_BLOCK


def test_a_disturbed_network_is_measured_again_once(measure, known):
    chosen = Chooser(known.plan.space, np.random.default_rng(0)).next(6, [])
    once, always = [architecture for architecture, _ in chosen][4:]
    measure.disturbed = {once: 1, always: 99}
    assert measure(Budget(None, 20))[0] == 20
    assert measure.seen[once] == measure.seen[always] == 2
    assert measure.seen[known.plan.space.largest] == 1
    assert (measure.flagged[once], measure.flagged[always]) == (0, 5)


@pytest.mark.parametrize("tries", [(4, 5), (5, 4), (5, 0)])
def test_the_calmer_of_two_disturbed_tries_is_kept(measure, known, tries):
    largest = known.plan.space.largest
    measure.flags = {(largest, number): n for number, n in enumerate(tries, 1)}
    measure(Budget(None, 20))
    assert measure.seen[largest] == 2
    assert measure.flagged[largest] == min(tries)


def test_a_first_block_that_is_disturbed_as_a_whole_does_not_end_the_collection(measure):
    measure.disturbed = SimpleNamespace(get=lambda _architecture, _default: 1)  # each network, once
    assert measure(Budget(60, None))[0] > FIRST_BLOCK
    assert sum(n == 0 for n in measure.flagged.values()) > FIRST_BLOCK


def test_what_is_still_to_be_measured_again_when_the_time_is_used_up_is_kept(measure, known):
    measure.disturbed = {known.plan.space.largest: 1}
    assert measure(Budget(0.001, None))[0] == FIRST_BLOCK
    assert measure.flagged[known.plan.space.largest] == 5
