from __future__ import annotations

import pytest

from predictor.network import Conditions, Network

TARGET = {"mode": "throughput", "threads": 4, "streams": 2, "batch": 8}


@pytest.mark.parametrize(
    ("text", "size"), [("32K", 2**15), ("48 KiB", 48 * 2**10), ("2M", 2**21), ("1024", 1024)]
)
def test_cache_sizes(text, size):
    assert Conditions.of({"l1d_cache": text}, TARGET).l1d_bytes == size


@pytest.mark.parametrize("machine", [{}, {"l1d_cache": "unknown", "l2_cache": "", "l3_cache": "?"}])
def test_a_machine_that_does_not_tell_is_a_usual_one(machine):
    assert Conditions.of(machine, TARGET) == Conditions(4, 2, 2**15, 2**20, 2**25)


def test_a_planned_network_is_its_architecture(known, data):
    architecture = known.plan.space.smallest
    network = Network.planned(known.plan, architecture, data.conditions)
    assert list(network.kernels) == known.plan.of(architecture)
    assert known.plan.space.decode(network.codes) == architecture
    assert network.space == known.plan.space.fingerprint
