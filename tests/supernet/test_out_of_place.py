"""Operations in place, where the block between them may be dropped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernet.checks import check
from supernet.generation import generate
from supernet.graph import reproduces, trace


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.f = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.o, self.r, self.l = nn.Conv2d(32, 16, 1), nn.ReLU(inplace=True), nn.Linear(16, 10)

    def head(self, y: Tensor) -> Tensor:
        return self.l(y.mean((2, 3)))


class SkipReadAgain(Base):
    """The skip is read once more, behind an activation that would write into it without the block."""

    def forward(self, x: Tensor) -> Tensor:
        skip = self.a(x)
        return self.head(self.o(torch.cat([self.r(skip + self.f(skip)), skip], 1)))


class Functional(Base):
    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.a(x), 0.1, inplace=True)
        y = F.leaky_relu(x + self.f(x), 0.1, True)
        return self.head(torch.cat([y, x], 1)[:, :16])


class Methods(Base):
    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu_()
        y = torch.relu_(x + self.f(x))
        return self.head(self.o(torch.cat([y.mul_(2.0), x], 1)))


@pytest.mark.parametrize("kind", [SkipReadAgain, Functional, Methods])
def test_a_dropped_block_leaves_its_entry_as_it_is(kind):
    torch.manual_seed(0)
    model, x = kind().eval(), torch.randn(4, 3, 8, 8)
    network = generate(model, x)
    dropped = network.space.smallest
    assert any(slot.kind == "depth" for slot in network.space.slots)
    assert check(network, model(x), x, n=4).faults == ()

    class Wanted(kind):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            nn.init.zeros_(self.f.weight)
            nn.init.zeros_(self.f.bias)

    wanted = Wanted()
    wanted.load_state_dict(
        {k: v for k, v in model.state_dict().items() if not k.startswith("f.")}, strict=False
    )
    codes = np.array(network.space.encode(network.space.largest))
    for i, slot in enumerate(network.space.slots):
        if slot.kind == "depth":
            codes[i] = 0
    assert reproduces(wanted.eval(), network.extract(network.space.decode(codes)), x)
    network.train()
    with network.activated(dropped):
        torch.autograd.backward(network(x).sum())


class ReadsWhatWasWritten(Base):
    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        self.r(x)  # the result is not used, but x is rectified
        y = F.leaky_relu(x + self.f(x), 0.1, inplace=True)
        return self.head(y)


def test_what_is_read_through_another_name_stays_in_place():
    model, x = ReadsWhatWasWritten().eval(), torch.randn(2, 3, 8, 8)
    traced = trace(model, x)
    assert reproduces(model, traced.module, x)
    assert traced.module.r.inplace
    (leaky,) = (n for n in traced.module.graph.nodes if n.target is F.leaky_relu)
    assert leaky.kwargs["inplace"] is False


class WritesIntoItsInput(Base):
    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5)
        x = self.r(self.a(x.mul_(2.0)))
        return self.head(x + self.f(x))


def test_a_network_leaves_its_input_alone():
    model, x = WritesIntoItsInput().eval(), torch.randn(2, 3, 8, 8)
    before = x.clone()
    network = generate(model, x)
    assert x.equal(before)
    expected = model(x.clone())
    for _ in range(2):
        assert torch.allclose(network(x), expected, atol=1e-5)
        assert x.equal(before)
    assert torch.allclose(network.extract(network.space.largest)(x), expected, atol=1e-5)
    assert x.equal(before)
    assert [slot.kind for slot in network.space.slots].count("width") >= 1


class DropsInAStatement(Base):
    def __init__(self) -> None:
        super().__init__()
        self.d = nn.Dropout(1.0, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        self.d(x)  # nothing in evaluation, so that no comparison can show it
        return self.head(x + self.f(x))


def test_what_only_writes_stays_in_place():
    model, x = DropsInAStatement(), torch.randn(2, 3, 8, 8)
    module = trace(model, x).module
    assert module.d.inplace
    assert module.train()(x).equal(model.train()(x))
