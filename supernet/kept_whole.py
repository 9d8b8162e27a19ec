"""Which submodules must stay whole, so that the traced graph of a model is right.

Code that asks what only a real tensor answers (`isinstance(x, Tensor)`) is traced without a complaint, and
wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import nn

__all__ = ["parts_to_keep"]


def parts_to_keep(model: nn.Module, is_right: Callable[[frozenset[str]], bool]) -> frozenset[str]:
    """The paths of the smallest submodules that are traced wrongly, none if the model's own code is.

    `is_right` says whether the model's graph is right with these submodules not traced into. Each is looked
    at with all others whole.
    """
    return frozenset(_within("", model, frozenset(), is_right)) - {""}


def _within(
    path: str, module: nn.Module, others: frozenset[str], is_right: Callable[[frozenset[str]], bool]
) -> list[str]:
    parts = dict(_parts(path, module))
    whole = others | frozenset(parts)
    if not parts or not is_right(whole):
        return [path]
    wrong = []
    for name, part in parts.items():
        rest = whole - {name}
        if not is_right(rest):
            wrong += _within(name, part, rest, is_right)
    return wrong or [path]  # each is right by itself, but not all together


def _parts(path: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The submodules that its code may call; lists and dicts of modules are not called themselves."""
    for name, part in module.named_children():
        place = f"{path}.{name}" if path else name
        if isinstance(part, (nn.ModuleList, nn.ModuleDict)):
            yield from _parts(place, part)
        else:
            yield place, part
