from __future__ import annotations

import json

import pytest

from profiling.properties import PROPERTIES, effective_properties, tiny_model
from profiling.target import compile_model, core


@pytest.mark.parametrize("counters", [False, True])
def test_the_effective_properties_are_the_targets(known, counters):
    found = effective_properties(compile_model(tiny_model(), known.target, counters=counters))
    assert json.loads(json.dumps(found)) == found
    assert list(found) == [name for name in PROPERTIES if name in found]
    assert (found["INFERENCE_NUM_THREADS"], found["NUM_STREAMS"]) == (1, 1)
    assert found["INFERENCE_PRECISION_HINT"] == "f32"
    assert found["PERF_COUNT"] is counters
    assert found["EXECUTION_DEVICES"] == "CPU"
    assert type(found["ENABLE_CPU_PINNING"]) is bool
    assert "ENABLE_HYPER_THREADING" in found
    assert found["EXECUTION_MODE_HINT"] == "PERFORMANCE"


def test_a_hint_is_read_back():
    compiled = core().compile_model(tiny_model(), "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"})
    assert effective_properties(compiled)["PERFORMANCE_HINT"] == "THROUGHPUT"


def test_a_property_that_a_release_lacks_is_left_out():
    class Compiled:
        def get_property(self, name: str) -> object:
            return {"SUPPORTED_PROPERTIES": {"NUM_STREAMS": "RO"}, "NUM_STREAMS": "2"}[name]

    assert effective_properties(Compiled()) == {"NUM_STREAMS": 2}
