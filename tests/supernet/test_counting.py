from __future__ import annotations

import pytest
import torch
from torch import nn

import supernet
from supernet.counting import uncounted_macs


class Attention(nn.Module):
    """Four tokens of a convolution, that look at one another in two heads."""

    def __init__(self, *, by_hand: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 16, 2, 2), nn.Linear(16, 5)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.by_hand = by_hand

    def forward(self, x):
        x = self.first(x).flatten(2).transpose(1, 2)
        x = x @ x.transpose(1, 2) @ x if self.by_hand else self.attention(x, x, x)[0]
        return self.last(x.mean(1))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("by_hand", "macs"),
    [(True, 2 * 4 * 4 * 16), (False, 4 * 4 * 16 * 16 + 2 * 4 * 4 * 16)],  # four projections, two products
)
def test_attention_is_not_in_the_space_but_known(batch, by_hand, macs):
    example = torch.randn(batch, 3, 4, 4)
    network = supernet.generate(Attention(by_hand=by_hand), example)
    space = network.space
    assert space.macs(space.largest) == 4 * 12 * 16 + 16 * 5
    assert uncounted_macs(network, example) == macs
    assert torch.backends.mha.get_fastpath_enabled()
