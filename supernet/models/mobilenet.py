"""MobileNetV2 with torchvision's state-dict names, so that its checkpoints load unchanged.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["InvertedResidual", "MobileNetV2", "mobilenet_v2", "mobilenet_v2_cifar10"]

Setting = tuple[int, int, int, int]
"""One stage: expansion, output channels, number of blocks, stride of the first one."""

# Table 2 of the paper.
SETTINGS: tuple[Setting, ...] = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _conv_bn(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = kernel_size // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """1x1 expansion (none at 1), depthwise 3x3 (strided) and a linear 1x1 convolution; a shortcut where
    shapes agree."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = in_channels * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [_conv_bn(in_channels, width, 1)]
        layers += [
            _conv_bn(width, width, 3, stride, groups=width),
            nn.Conv2d(width, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        self.conv = nn.Sequential(*layers)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv(x)
        return x + out if self.has_shortcut else out  # type: ignore[no-any-return]


class MobileNetV2(nn.Module):
    """Images of shape (B, 3, H, W) to logits of shape (B, n_classes)."""

    def __init__(
        self,
        settings: Sequence[Setting] = SETTINGS,
        *,
        stem: int = 32,
        stem_stride: int = 2,
        last: int = 1280,
        n_classes: int = 1000,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv_bn(3, stem, 3, stem_stride)]
        channels = stem
        for expansion, out_channels, n_blocks, first_stride in settings:
            for index in range(n_blocks):
                stride = first_stride if index == 0 else 1
                layers.append(InvertedResidual(channels, out_channels, stride, expansion))
                channels = out_channels
        self.features = nn.Sequential(*layers, _conv_bn(channels, last, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, n_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))  # type: ignore[no-any-return]


def mobilenet_v2(n_classes: int = 1000) -> MobileNetV2:
    """MobileNetV2 of width 1.0 for images of 224 px."""
    return MobileNetV2(n_classes=n_classes)


def mobilenet_v2_cifar10() -> MobileNetV2:
    """MobileNetV2 of width 1.0 for ten classes; 98 million MACs at 128 px."""
    return mobilenet_v2(n_classes=10)
