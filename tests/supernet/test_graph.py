from __future__ import annotations

import pytest
import torch
from torch import nn

from supernet import OvnasError
from supernet.graph import trace

IMAGE = torch.randn(2, 3, 8, 8)


def test_a_model_that_branches_on_values_is_refused():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 8, 1)

        def forward(self, x):
            return self.a(x) if x.sum() > 0 else x

    with pytest.raises(OvnasError, match=r"own forward cannot be traced .*values of a tensor"):
        trace(Branching(), IMAGE)


def test_a_random_model_is_refused(lambda_model):
    with pytest.raises(OvnasError, match="is it random"):
        trace(lambda_model(lambda s, x: s.a(x) + torch.rand_like(x[:, :1]), a=nn.Conv2d(3, 8, 1)), IMAGE)


def test_a_wrong_example_is_refused(tiny_network, make_tiny_resnet):
    with pytest.raises(OvnasError, match=r"does not run on the example input of shape \[\(1, 4, 8, 8\)\]"):
        trace(make_tiny_resnet(), torch.zeros(1, 4, 8, 8))
