from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from profiling.preparation import ANCHORS, Bench, measure_overhead_us


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
        assert np.isfinite(bench.timer(prepared.model).run(3)).all()


def test_kernels_that_were_not_planned_are_noticed(tiny_graphs, known):
    bench = Bench(tiny_graphs, known.target)
    object.__setattr__(bench.plan, "kernels", bench.plan.kernels[:-1])
    assert not bench.prepare(bench.plan.space.smallest).is_planned


def test_anchors_are_copies_of_the_maximal_network(bench, monkeypatch):
    asked: Counter = Counter()
    model = bench.graphs.model
    monkeypatch.setattr(bench.graphs, "model", lambda a: (asked.update([a]), model(a))[1])
    assert [anchor.run(1).shape for anchor in bench.anchors()] == [(1,)] * ANCHORS
    assert asked == {bench.plan.space.largest: 1}


def test_overhead_is_a_time(known):
    assert 0 < measure_overhead_us(known.target) < 1e6


def test_in_throughput_mode_counters_are_read_beside_busy_streams(tiny_graphs, known, monkeypatch):
    """One stream's share of the threads, and another one kept busy."""
    import profiling.preparation as preparation

    made: list = []
    compile_model = preparation.compile_model

    def watched(model, target, **options):
        made.append((target["threads"], target["streams"], options))
        return compile_model(model, {**target, "threads": 1, "streams": 1}, **options)

    monkeypatch.setattr(preparation, "compile_model", watched)
    target = {**known.target, "mode": "throughput", "threads": 2, "streams": 2}
    bench = Bench(tiny_graphs, target)
    del made[:]
    prepared = bench.prepare(tiny_graphs.space.smallest)
    counted = (1, 1, {"counters": True, "pinned": False})
    assert made[:2] == [counted, (1, 1, {"pinned": False})]
    assert set(map(repr, made[2:])) <= {repr(counted)}  # read again where they were interrupted
    assert prepared.is_planned
    del made[:]
    assert len(bench.timer(prepared.model).run(3)) >= 3
    assert made == [(2, 2, {})]
