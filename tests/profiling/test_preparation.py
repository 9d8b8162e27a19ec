from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from profiling.preparation import Bench, measure_overhead_us


@pytest.fixture(scope="module")
def bench(tiny_graphs, known) -> Bench:
    return Bench(tiny_graphs, known.target)


def test_the_bench_plans_its_space(bench, tiny_plan):
    assert bench.plan == tiny_plan


def test_prepared_networks_execute_what_was_planned(bench, rng):
    space = bench.plan.space
    for architecture in (space.smallest, space.sample(rng)):
        prepared = bench.prepare(architecture)
        assert prepared.is_planned
        assert prepared.architecture == architecture
        assert [k.kernel for k in prepared.kernels] == bench.plan.of(architecture)
        assert all(k.counter_us >= 0.5 for k in prepared.kernels)
        assert len({k.name for k in prepared.kernels}) == len(prepared.kernels)
        assert np.isfinite(prepared.timer.run(3)).all()


def test_kernels_that_were_not_planned_are_noticed(tiny_graphs, known):
    bench = Bench(tiny_graphs, known.target)
    object.__setattr__(bench.plan, "kernels", bench.plan.kernels[:-1])
    assert not bench.prepare(bench.plan.space.smallest).is_planned


def test_the_anchor_is_the_maximal_network(bench, monkeypatch):
    asked: Counter = Counter()
    model = bench.graphs.model
    monkeypatch.setattr(bench.graphs, "model", lambda a: (asked.update([a]), model(a))[1])
    assert bench.anchor().run(1).shape == (1,)
    assert asked == {bench.plan.space.largest: 1}


def test_overhead_is_a_time(known):
    assert 0 < measure_overhead_us(known.target) < 1e6
