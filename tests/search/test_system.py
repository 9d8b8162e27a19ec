from __future__ import annotations

import numpy as np
import pytest

from profiling.target import compile_model
from search.scenario import Arrangement
from search.system import System
from supernet.int8 import to_openvino


@pytest.mark.parametrize("arrangement", [Arrangement(1, 1, 4, 1), Arrangement(1, 1, 4, 3)], ids=str)
@pytest.mark.parametrize(
    "asked",
    [[*range(8)], [7, 0, 3], [5, 4, 3, 2, 1], [1, 2, 3, 4]],
    ids=lambda asked: f"{len(asked)} samples",
)
def test_every_sample_gets_its_own_class(tiny_network, tiny_images, arrangement, asked):
    """In batches that lie side by side or not, whole or not, under the indices that they were loaded by."""
    module = tiny_network.extract(tiny_network.space.largest)
    compiled = compile_model(to_openvino(module, tiny_images[:4]), arrangement.target())
    answers: dict[int, float] = {}

    def answer(ids, classes):
        assert classes.dtype == np.float32
        for one, value in zip(ids, classes, strict=True):
            assert one not in answers
            answers[one] = float(value)

    system = System(compiled, arrangement, answer)
    system.load(tiny_images.numpy(), [100 + i for i in range(8)])
    system.issue([(10 * i, 100 + i) for i in asked])
    system.wait()
    expected = module(tiny_images).argmax(1)
    assert answers == {10 * i: float(expected[i]) for i in asked}


def test_samples_that_lie_side_by_side_are_not_copied(tiny_network, tiny_images):
    """Those that LoadGen has repeated behind the last one neither hide the first ones nor are they wrong."""
    module = tiny_network.extract(tiny_network.space.largest)
    arrangement = Arrangement(1, 1, 4, 1)
    system = System(
        compile_model(to_openvino(module, tiny_images[:4]), arrangement.target()), arrangement, print
    )
    indices = [*range(8), 0, 1, 2]
    system.load(tiny_images.numpy()[indices], indices)
    whole = system._samples

    def is_shared(wanted: list[int]) -> bool:
        tensor = system._tensor(wanted)
        np.testing.assert_array_equal(tensor.data, tiny_images.numpy()[wanted])
        return bool(np.shares_memory(tensor.data, whole))

    assert is_shared([0, 1, 2, 3])
    assert is_shared([3, 4, 5, 6])
    assert is_shared([7, 0, 1, 2])
    assert not is_shared([0, 2, 4, 6])
