from __future__ import annotations

import pytest

from profiling.target import compile_model, core


@pytest.mark.parametrize("counters", [False, True])
def test_the_target_decides_how_a_model_is_compiled(tiny_graphs, known, counters):
    model = tiny_graphs.model(tiny_graphs.space.smallest)
    compiled = compile_model(model, {**known.target, "threads": 1, "streams": 1}, counters=counters)
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("NUM_STREAMS") == 1
    assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
    assert str(compiled.get_property("PERF_COUNT")) in (str(counters), "YES" if counters else "NO")


def test_one_core_for_the_process():
    assert core() is core()
