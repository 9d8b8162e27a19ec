"""Elastic kernels: a smaller kernel is the centre of the whole one, its padding smaller by as much.

Once-for-All (Cai et al. 2020, section 3.3) crops the same way; its learned transformations between sizes are
left out, for they are no part of the pre-trained model.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

__all__ = ["crop_kernel", "kernel_choices"]


def kernel_choices(module: nn.Module, wanted: Iterable[int]) -> tuple[tuple[int, ...], str]:
    """Sides that a convolution's kernel may have, ascending, its own last; or none, and the reason why.

    Only sides that leave the output's size as it is: the padding must hold what the kernel loses.
    """
    if not isinstance(module, (nn.Conv1d, nn.Conv2d)):
        return (), "only one- and two-dimensional convolutions have elastic kernels"
    longest = max(module.kernel_size)
    if longest <= 3:
        return (), ""
    if any(side % 2 == 0 for side in module.kernel_size):
        return (), f"a kernel of {_text(module.kernel_size)} has no centre"
    if module.padding_mode != "zeros":
        return (), f"its padding is {module.padding_mode!r}, not zeros"
    smaller = sorted({side for side in wanted if side < longest})
    if not smaller:
        return (), f"no side asked for is below its {longest}"
    fitting = [side for side in smaller if _fits(module, side)]
    if not fitting:
        return (), f"its padding {_text(module.padding)} is less than a smaller kernel of it loses"
    return (*fitting, longest), ""


def crop_kernel(module: nn.Module, side: int) -> None:
    """Crops the weight of a convolution that belongs to no one else, and its padding."""
    assert isinstance(module, (nn.Conv1d, nn.Conv2d))
    weight, sizes = module._parameters["weight"], tuple(module.kernel_size)
    assert weight is not None
    cropped = tuple(min(n, side) for n in sizes)
    if cropped == sizes:
        return
    for axis, (whole, n) in enumerate(zip(sizes, cropped, strict=True), start=2):
        weight = weight.narrow(axis, (whole - n) // 2, n)  # type: ignore[assignment]
    module.__dict__["_parameters"] = {**module._parameters, "weight": weight}
    if not isinstance(module.padding, str):
        lost = _lost(module, side)
        module.padding = tuple(p - n for p, n in zip(module.padding, lost, strict=True))
    module.kernel_size = cropped


def _lost(module: nn.Conv1d | nn.Conv2d, side: int) -> tuple[int, ...]:
    """Pixels that a smaller kernel reaches less on each side of its centre."""
    return tuple(
        step * (n - min(n, side)) // 2 for n, step in zip(module.kernel_size, module.dilation, strict=True)
    )


def _fits(module: nn.Conv1d | nn.Conv2d, side: int) -> bool:
    if isinstance(module.padding, str):
        return module.padding == "same"
    return all(n <= p for n, p in zip(_lost(module, side), module.padding, strict=True))


def _text(sizes: object) -> str:
    return "x".join(map(str, sizes)) if isinstance(sizes, tuple) else str(sizes)
