from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from profiling.target import compile_model
from search.finalists import int8_hits
from supernet.int8 import to_openvino

TARGET = {"mode": "latency", "threads": 1, "streams": 1}


@pytest.fixture(scope="module")
def module(tiny_network):
    return tiny_network.extract(tiny_network.space.largest)


@pytest.fixture(scope="module", params=[1, 4])
def compiled(request, module, tiny_images):
    return compile_model(to_openvino(module, tiny_images[: request.param]), TARGET)


@pytest.mark.parametrize("n", [8, 10, 3, 1])
def test_accuracy_does_not_depend_on_the_batch(module, compiled, n):
    images = torch.randn(n, 3, 12, 12, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        best = np.argmax(module(images).numpy(), axis=1)
    labels = best.copy()
    labels[1::3] = (labels[1::3] + 1) % 5  # a last image that is right, filled up, must count once
    found = int8_hits(compiled, TensorDataset(images, torch.from_numpy(labels)))
    np.testing.assert_array_equal(found, labels == best)
