"""ResNet-9, the network of the fast CIFAR-10 recipes, at half its widths.

Page, "How to train your ResNet", 2018-19 (DAWNBench): a convolution and a pooling a stage, each followed
by a residual block at the smaller resolution, so that most weights are where pixels are few.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from supernet.models.resnet import BasicBlock

__all__ = ["ResNet9", "resnet9_cifar10"]


def _unit(in_channels: int, out_channels: int, *, is_pooled: bool = False) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    pool = [nn.MaxPool2d(2)] if is_pooled else []
    return nn.Sequential(convolution, *pool, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


class ResNet9(nn.Module):
    """Images of shape (B, 3, 32, 32) to logits of shape (B, n_classes). `n_blocks` residual blocks end
    each stage."""

    def __init__(
        self,
        *,
        stem: int = 32,
        widths: Sequence[int] = (64, 128, 256),
        n_blocks: Sequence[int] = (1, 1, 1),
        n_classes: int = 10,
    ) -> None:
        super().__init__()
        self.stem = _unit(3, stem)
        self.stages = nn.Sequential()
        channels = stem
        for width, depth in zip(widths, n_blocks, strict=True):
            blocks = nn.Sequential(*(BasicBlock(width, width, 1) for _ in range(depth)))
            stage = nn.Sequential()
            stage.add_module("down", _unit(channels, width, is_pooled=True))
            stage.add_module("blocks", blocks)
            self.stages.append(stage)
            channels = width
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.stages(self.stem(x))).flatten(1))  # type: ignore[no-any-return]


def resnet9_cifar10(n_classes: int = 10) -> ResNet9:
    """114 million MACs."""
    return ResNet9(n_classes=n_classes)
