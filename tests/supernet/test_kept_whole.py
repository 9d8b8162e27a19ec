from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

import supernet
from supernet import OvnasError
from supernet.checks import check
from supernet.graph import trace
from supernet.kept_whole import parts_to_keep

IMAGE = torch.randn(2, 3, 8, 8)


class Doubled(nn.Module):
    """Code that torch.fx traces without a complaint, and wrongly: what it is traced with is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x):
        x = self.conv(x)
        return 2 * x if isinstance(x, Tensor) else x


class Around(nn.Module):
    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(3, 16, 3, padding=1), nn.ModuleList([nn.Conv2d(16, 8, 1), part])
        self.last = nn.Sequential(nn.Conv2d(8, 16, 1), nn.ReLU(), nn.Conv2d(16, 8, 1))

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = torch.relu(block(x))
        return self.last(x).mean((2, 3))


@pytest.mark.parametrize("deep", [False, True])
def test_a_part_that_is_traced_wrongly_stays_whole_and_the_others_are_elastic(deep):
    model = Around(nn.Sequential(nn.Conv2d(8, 8, 1), Doubled()) if deep else Doubled()).eval()
    network = supernet.generate(model, IMAGE)
    path = "blocks.1.1" if deep else "blocks.1"
    assert trace(model, IMAGE).opaque == {path: "its traced graph is not what it does"}
    reasons = [group.reason for group in network.space.groups if group.reason]
    assert any(path in reason and "its traced graph is not what it does" in reason for reason in reasons)
    assert {"stem", "last.0"} <= {slot.name for slot in network.space.slots}
    assert check(network, model(IMAGE), IMAGE, n=3).passed


def test_a_model_whose_own_code_is_traced_wrongly_is_refused(lambda_model):
    model = lambda_model(lambda s, x: s.a(x) * (2 if isinstance(x, Tensor) else 1), a=nn.Conv2d(3, 8, 1))
    with pytest.raises(OvnasError, match="gives another output than the model"):
        trace(model, IMAGE)


def test_a_part_that_is_not_the_only_one_at_fault_does_not_help(monkeypatch):
    monkeypatch.setattr("supernet.graph.parts_to_keep", lambda model, is_right: frozenset({"stem"}))
    with pytest.raises(OvnasError, match="traced graph gives another output than the model"):
        trace(Around(Doubled()), IMAGE)


@pytest.mark.parametrize("make", [list, tuple, lambda found: dict(enumerate(found))])
def test_a_graph_with_other_outputs_is_not_what_the_model_does(lambda_model, make):
    model = lambda_model(
        lambda s, x: make([s.a(x)] * (1 if isinstance(x, Tensor) else 2)), a=nn.Conv2d(3, 8, 1)
    )
    with pytest.raises(OvnasError, match="gives another output than the model"):
        trace(model, IMAGE)


def test_a_dict_of_another_kind_is_the_same_output(lambda_model):
    model = lambda_model(lambda s, x: OrderedDict(out=s.a(x)), a=nn.Conv2d(3, 8, 1))
    assert trace(model, IMAGE).opaque == {}


def test_the_smallest_parts_are_kept_and_each_is_looked_at_once():
    model = nn.ModuleDict({"a": nn.Sequential(nn.ReLU(), nn.ReLU()), "b": nn.ReLU(), "c": nn.ReLU()})
    asked = []

    def is_right(wrong, kept):
        asked.append(kept)
        return all(any(path == w or w.startswith(f"{path}.") for path in kept) for w in wrong)

    assert parts_to_keep(model, lambda kept: is_right({"a.1", "c"}, kept)) == {"a.1", "c"}
    assert len(asked) == len(set(asked))
    assert parts_to_keep(model, lambda kept: False) == frozenset()
