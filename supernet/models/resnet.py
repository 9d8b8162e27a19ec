"""ResNets with torchvision's state-dict names, so that its checkpoints load unchanged.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. The bottleneck has its stride on
the 3x3 convolution ("v1.5"), as torchvision's.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["ResNet", "resnet18", "resnet50", "resnet_digits"]


def _conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    padding = kernel_size // 2
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _downsample(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(out + shortcut)  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """1x1, 3x3 (strided) and 1x1 convolutions and a shortcut."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = _conv(in_channels, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _downsample(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(out + shortcut)  # type: ignore[no-any-return]


def _downsample(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(_conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))


class ResNet(nn.Module):
    """Images of shape (B, 3, H, W) to logits of shape (B, n_classes).

    `n_blocks` and `widths` have one entry a stage. `small_images` takes a 3x3 stem of stride
    2 without pooling, for images of 32 px.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        n_blocks: Sequence[int],
        *,
        widths: Sequence[int] = (64, 128, 256, 512),
        n_classes: int = 1000,
        small_images: bool = False,
    ) -> None:
        super().__init__()
        channels = widths[0]
        self.conv1 = _conv(3, channels, 3 if small_images else 7, 2)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small_images else nn.MaxPool2d(3, 2, 1)
        self.stages: list[str] = []
        for stage, (depth, width) in enumerate(zip(n_blocks, widths, strict=True), start=1):
            blocks = []
            for index in range(depth):
                stride = 2 if stage > 1 and index == 0 else 1
                blocks.append(block(channels, width, stride))
                channels = width * block.expansion
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
            self.stages.append(f"layer{stage}")
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return self.fc(self.avgpool(x).flatten(1))  # type: ignore[no-any-return]


def resnet18(n_classes: int = 1000) -> ResNet:
    """ResNet-18 for images of 224 px."""
    return ResNet(BasicBlock, (2, 2, 2, 2), n_classes=n_classes)


def resnet50(n_classes: int = 1000) -> ResNet:
    """ResNet-50 for images of 224 px."""
    return ResNet(Bottleneck, (3, 4, 6, 3), n_classes=n_classes)


def resnet_digits(n_classes: int = 10) -> ResNet:
    """The embedded default: three stages of three basic blocks for digits of 32 px."""
    return ResNet(BasicBlock, (3, 3, 3), widths=(64, 128, 256), n_classes=n_classes, small_images=True)
