"""A small member of each family of convolutional networks, in the manner of the originals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernet import SpaceSection


@dataclass(frozen=True)
class Family:
    """`n_runs` of skippable blocks and `n_kernels` are what a reader of the code counts; `fixed` are the
    groups that must stay beside the output, each with a word of the reason."""

    make: Callable[[], nn.Module]
    n_runs: int = 0
    n_kernels: int = 0
    shape: tuple[int, ...] = (2, 3, 32, 32)
    fixed: dict[str, str] = field(default_factory=dict)
    section: SpaceSection = field(
        default_factory=lambda: SpaceSection(width=(0.5, 1.0), divisor=4, kernel=(3, 5))
    )


def unit(i: int, o: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: type | None = nn.ReLU):
    parts = [
        nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(o),
    ]
    return nn.Sequential(*parts, *([act()] if act else []))


def classifier(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


class Residual(nn.Module):
    """Basic (no `inner` groups) or bottleneck block with ReLU behind the addition."""

    def __init__(self, i: int, inner: int, o: int, stride: int = 1, groups: int = 1, excite: bool = False):
        super().__init__()
        parts = [unit(i, inner, 1), unit(inner, inner, 3, stride, groups)]
        if excite:
            parts.append(Excite(inner, 8, nn.ReLU, nn.Sigmoid))
        self.branch = nn.Sequential(*parts, unit(inner, o, 1, act=None))
        self.short = nn.Identity() if i == o and stride == 1 else unit(i, o, 1, stride, act=None)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x) + self.short(x))


def resnet(groups: int = 1, excite: bool = False) -> nn.Module:
    return nn.Sequential(
        *(unit(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1)),
        *(Residual(16, 16, 32, 1, groups, excite), Residual(32, 16, 32, 1, groups, excite)),
        *(Residual(32, 32, 48, 2, groups, excite), Residual(48, 32, 48, 1, groups, excite)),
        *classifier(48),
    )


class Vgg(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = [(3, 8), (8, 16), (16, 16)]
        stages = [[nn.Conv2d(i, o, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(2)] for i, o in widths]
        self.features = nn.Sequential(*(m for stage in stages for m in stage))
        self.avgpool = nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Sequential(nn.Linear(64, 32), nn.ReLU(True), nn.Dropout(), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class Excite(nn.Module):
    def __init__(self, channels: int, squeezed: int, act: type, scale: type) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)
        self.activation, self.scale_activation = act(), scale()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))


def drop_path(x: Tensor, p: float, training: bool) -> Tensor:
    """Stochastic depth, which does nothing in evaluation."""
    if not training or p == 0:
        return x
    keep = torch.rand(x.shape[0], *[1] * (x.ndim - 1)) >= p
    return x * keep / (1 - p)


torch.fx.wrap("drop_path")


class DropPath(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return drop_path(x, 0.2, self.training)


class Inverted(nn.Module):
    """MobileNet's and EfficientNet's block."""

    def __init__(
        self,
        i: int,
        o: int,
        kernel: int = 3,
        stride: int = 1,
        act: type = nn.ReLU6,
        excite: type | None = None,
        path: bool = False,
    ) -> None:
        super().__init__()
        inner = 3 * i
        parts = [unit(i, inner, 1, act=act), unit(inner, inner, kernel, stride, inner, act=act)]
        if excite is not None:
            parts.append(Excite(inner, 8, nn.ReLU if act is nn.Hardswish else nn.SiLU, excite))
        self.block = nn.Sequential(*parts, unit(inner, o, 1, act=None))
        self.drop = DropPath() if path else None
        self.has_shortcut = stride == 1 and i == o

    def forward(self, x: Tensor) -> Tensor:
        result = self.block(x)
        if self.has_shortcut:
            if self.drop is not None:
                result = self.drop(result)
            result += x
        return result


def mobilenet_v2() -> nn.Module:
    blocks = [Inverted(8, 16, stride=2), Inverted(16, 16), Inverted(16, 16), Inverted(16, 24, stride=2)]
    return nn.Sequential(unit(3, 8, 3, 2, act=nn.ReLU6), *blocks, unit(24, 32, 1), *classifier(32))


def mobilenet_v3() -> nn.Module:
    def block(*args: int, excite: bool = True) -> nn.Module:
        return Inverted(*args, act=nn.Hardswish, excite=nn.Hardsigmoid if excite else None)

    return nn.Sequential(
        *(
            unit(3, 8, 3, 2, act=nn.Hardswish),
            block(8, 16, 5, 2),
            block(16, 16, 5),
            block(16, 16, excite=False),
        ),
        *(unit(16, 32, 1, act=nn.Hardswish), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Linear(32, 24), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(24, 10)),
    )


def efficientnet() -> nn.Module:
    def block(*args: int) -> nn.Module:
        return Inverted(*args, act=nn.SiLU, excite=nn.Sigmoid, path=True)

    return nn.Sequential(
        *(unit(3, 8, 3, 2, act=nn.SiLU), block(8, 16, 5, 2), block(16, 16, 5), block(16, 16, 5)),
        *(block(16, 24, 3, 2), block(24, 24, 3), unit(24, 32, 1, act=nn.SiLU), *classifier(32)),
    )


class DenseLayer(nn.Module):
    def __init__(self, i: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(i), nn.Conv2d(i, 2 * growth, 1, bias=False)
        self.norm2, self.conv2 = (
            nn.BatchNorm2d(2 * growth),
            nn.Conv2d(2 * growth, growth, 3, 1, 1, bias=False),
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x = self.conv1(F.relu(self.norm1(torch.cat(list(features), 1))))
        return self.conv2(F.relu(self.norm2(x)))


class DenseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 16, 3, 2)
        self.first = nn.ModuleList([DenseLayer(16, 8), DenseLayer(24, 8)])
        self.transition = nn.Sequential(
            nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 16, 1, bias=False), nn.AvgPool2d(2)
        )
        self.second = nn.ModuleList([DenseLayer(16, 8), DenseLayer(24, 8)])
        self.norm, self.classifier = nn.BatchNorm2d(32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.transition(self._block(self.first, self.stem(x)))
        x = F.relu(self.norm(self._block(self.second, x)))
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))

    def _block(self, layers: nn.ModuleList, x: Tensor) -> Tensor:
        features = [x]
        for layer in layers:
            features.append(layer(features))
        return torch.cat(features, 1)


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    b, c, h, w = x.size()
    return torch.transpose(x.view(b, groups, c // groups, h, w), 1, 2).contiguous().view(b, c, h, w)


class ShuffleUnit(nn.Module):
    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        half = o // 2
        self.short = nn.Sequential(unit(i, i, 3, 2, i, act=None), unit(i, half, 1)) if stride == 2 else None
        self.branch = nn.Sequential(
            unit(i if stride == 2 else half, half, 1),
            unit(half, half, 3, stride, half, act=None),
            unit(half, half, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.short is not None:
            out = torch.cat((self.short(x), self.branch(x)), dim=1)
        else:
            kept, rest = x.chunk(2, dim=1)
            out = torch.cat((kept, self.branch(rest)), dim=1)
        return channel_shuffle(out, 2)


class ShuffleNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.maxpool = unit(3, 8, 3, 2), nn.MaxPool2d(3, 2, 1)
        self.stage2 = nn.Sequential(ShuffleUnit(8, 32, 2), ShuffleUnit(32, 32, 1), ShuffleUnit(32, 32, 1))
        self.stage3 = nn.Sequential(ShuffleUnit(32, 48, 2), ShuffleUnit(48, 48, 1))
        self.conv5, self.fc = unit(48, 64, 1), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage3(self.stage2(self.maxpool(self.conv1(x))))
        return self.fc(self.conv5(x).mean([2, 3]))


class Fire(nn.Module):
    def __init__(self, i: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze, self.activation = nn.Conv2d(i, squeezed, 1), nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.squeeze(x))
        return torch.cat([self.activation(self.expand1x1(x)), self.activation(self.expand3x3(x))], 1)


def squeezenet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 7, 2), nn.ReLU(True), nn.MaxPool2d(3, 2, ceil_mode=True)),
        *(Fire(16, 8, 16), Fire(32, 8, 16), nn.Dropout(), nn.Conv2d(32, 10, 1), nn.ReLU(True)),
        *(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten()),
    )


class Inception(nn.Module):
    """Four branches, one of them with 1x7 and 7x1 kernels."""

    def __init__(self, i: int) -> None:
        super().__init__()
        self.branch1x1 = unit(i, 8, 1)
        self.branch5x5 = nn.Sequential(unit(i, 8, 1), unit(8, 16, 5))
        self.branch7x7 = nn.Sequential(
            *(unit(i, 8, 1), nn.Conv2d(8, 8, (1, 7), padding=(0, 3)), nn.Conv2d(8, 8, (7, 1), padding=(3, 0)))
        )
        self.branch_pool = unit(i, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.branch_pool(F.avg_pool2d(x, kernel_size=3, stride=1, padding=1))
        return torch.cat([self.branch1x1(x), self.branch5x5(x), self.branch7x7(x), pooled], 1)


class TransformedInception(nn.Module):
    """With the original's per-channel transformation of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(unit(3, 16, 3, 2), Inception(16), Inception(40), *classifier(40))

    def forward(self, x: Tensor) -> Tensor:
        channels = [torch.unsqueeze(x[:, i], 1) * 0.5 + 0.1 * i for i in range(3)]
        return self.body(torch.cat(channels, 1))


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class Permute(nn.Module):
    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return torch.permute(x, self.dims)


class ConvNextBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, 7, padding=3, groups=channels),
            *(Permute(0, 2, 3, 1), nn.LayerNorm(channels, eps=1e-6), nn.Linear(channels, 4 * channels)),
            *(nn.GELU(), nn.Linear(4 * channels, channels), Permute(0, 3, 1, 2)),
        )
        self.layer_scale = nn.Parameter(torch.ones(channels, 1, 1) * 0.1)
        self.drop = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        result = self.layer_scale * self.block(x)
        result = self.drop(result)
        result += x
        return result


def convnext() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 4, 4), LayerNorm2d(16), ConvNextBlock(16), ConvNextBlock(16)),
        *(LayerNorm2d(16), nn.Conv2d(16, 24, 2, 2), ConvNextBlock(24), nn.AdaptiveAvgPool2d(1)),
        *(LayerNorm2d(24), nn.Flatten(1), nn.Linear(24, 10)),
    )


class UNet(nn.Module):
    """Down and up again, once by a transposed convolution and once by interpolation; two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([unit(3, 8), unit(8, 16), unit(16, 32)])
        self.up1 = nn.ConvTranspose2d(32, 16, 2, 2)
        self.norm = nn.GroupNorm(4, 16)
        self.merge1 = unit(32, 16)
        self.merge2 = nn.Sequential(nn.Conv2d(24, 8, 5, padding=4, dilation=2), nn.PReLU(8))
        self.mask, self.depth = nn.Conv2d(8, 2, 1), nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a = self.down[0](x)
        b = self.down[1](F.max_pool2d(a, 2))
        c = self.down[2](F.max_pool2d(b, 2))
        y = self.merge1(torch.cat([self.norm(self.up1(c)), b], 1))
        y = F.interpolate(y, scale_factor=2.0, mode="nearest")
        y = self.merge2(torch.cat([y, a], 1))
        return self.mask(y), self.depth(y)


class SamePadding(nn.Conv2d):
    """Pads by the map's size, as TensorFlow does, and calls its convolution as a function."""

    def forward(self, x: Tensor) -> Tensor:
        missing = [(-(-n // 2) - 1) * 2 + 3 - n for n in x.shape[-2:]]
        if any(n > 0 for n in missing):
            x = F.pad(x, [missing[1] // 2, missing[1] - missing[1] // 2, missing[0] // 2, 1])
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class NormAct(nn.BatchNorm2d):
    """A normalisation and its activation, called as functions, with an assertion."""

    def forward(self, x: Tensor) -> Tensor:
        torch._assert(x.ndim == 4, "images, please")
        mean, variance = self.running_mean, self.running_var
        x = F.batch_norm(x, mean, variance, self.weight, self.bias, self.training, 0.1, self.eps)
        return F.relu(x)


class DualPath(nn.Module):
    """The first channels are added to the input's, the others appended (Chen et al. 2017)."""

    def __init__(self, channels: int, added: int, appended: int) -> None:
        super().__init__()
        self.added = added
        self.branch = nn.Sequential(
            unit(channels, 32, 1), unit(32, 32, 3, groups=4), nn.Conv2d(32, added + appended, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        y = y[:, : self.branch[-1].out_channels]  # all, as in GhostNet
        both = x[:, : self.added] + y[:, : self.added]
        return torch.cat([both, x[:, self.added :], y[:, self.added :]], 1)


def dual_path() -> nn.Module:
    return nn.Sequential(
        *(SamePadding(3, 24, 3, 2, bias=False), NormAct(24)),
        *(DualPath(24, 16, 8), DualPath(32, 16, 8), NormAct(40)),
        *classifier(40),
    )


FAMILIES: dict[str, Family] = {
    "resnet": Family(resnet, n_runs=2, n_kernels=1),
    "resnext": Family(lambda: resnet(groups=4), n_runs=2, n_kernels=1),
    "vgg": Family(Vgg),
    "mobilenet_v2": Family(mobilenet_v2, n_runs=1),
    "mobilenet_v3": Family(mobilenet_v3, n_runs=1, n_kernels=2),
    "efficientnet": Family(efficientnet, n_runs=2, n_kernels=3),
    "densenet": Family(DenseNet),
    "shufflenet_v2": Family(
        ShuffleNetV2,
        fixed=dict.fromkeys(("stage2.0.short.1.0[0][0]", "stage2.0.short.1.0[0][1]"), "no narrower choice"),
    ),
    "squeezenet": Family(squeezenet),
    "inception": Family(TransformedInception, n_kernels=6),
    "regnet": Family(lambda: resnet(groups=2, excite=True), n_runs=2, n_kernels=1),
    "convnext": Family(convnext, n_runs=2, n_kernels=3),
    "unet": Family(UNet, n_kernels=1),
    "dual_path": Family(dual_path),
}
