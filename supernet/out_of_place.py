"""Makes a graph's operations write into tensors of their own.

An operation that writes into what it is given may write into another one's tensor where the block between
them is dropped: into a skip connection that is read again, or into what a gradient needs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, fx

__all__ = ["copy_written_inputs", "make_out_of_place"]

Switch = Callable[[bool], None]
"""Makes one operation write in place (True), as it was, or not (False)."""


def make_out_of_place(module: fx.GraphModule, is_right: Callable[[], bool]) -> None:
    """Every activation, function or method that writes in place no longer does, but for those whose result
    the model reads through another name: with them changed, `is_right` says no, or their own is not used."""
    switches = [*_modules(module), *_calls(module)]
    if not switches:
        return

    def switch(which: list[Switch], in_place: bool) -> None:
        for one in which:
            one(in_place)
        module.recompile()

    switch(switches, False)
    if is_right():
        return
    switch(switches, True)
    for one in switches:
        switch([one], False)
        if not is_right():
            switch([one], True)


def copy_written_inputs(module: fx.GraphModule, inputs: tuple[Tensor, ...]) -> dict[str, str]:
    """Inputs that the graph writes into are copied first, for others read them too: the copying nodes' names,
    and those of their inputs. `inputs` may be written into."""
    versions = [x._version for x in inputs]
    with torch.no_grad():
        module(*inputs)
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    copies = {}
    for node, x, version in zip(placeholders, inputs, versions, strict=False):
        if x._version == version:
            continue
        with module.graph.inserting_after(placeholders[-1]):
            copied = module.graph.call_method("clone", (node,))
        node.replace_all_uses_with(copied, delete_user_cb=lambda user, copied=copied: user is not copied)
        copies[copied.name] = node.name
    module.recompile()
    return copies


def _modules(module: fx.GraphModule) -> Iterator[Switch]:
    unused = {str(node.target) for node in module.graph.nodes if node.op == "call_module" and not node.users}
    for name, one in module.named_modules():
        if getattr(one, "inplace", False) is True and name not in unused:
            yield lambda in_place, one=one: setattr(one, "inplace", in_place)  # type: ignore[misc]


def _calls(module: fx.GraphModule) -> Iterator[Switch]:
    for node in module.graph.nodes:
        if not node.users:
            continue
        if node.op == "call_function":
            yield from _by_argument(node)
        plain = _plain(node)
        if plain is not None:
            yield lambda in_place, node=node, plain=plain, own=node.target: setattr(  # type: ignore[misc]
                node, "target", own if in_place else plain
            )


def _by_argument(node: fx.Node) -> Iterator[Switch]:
    """A function's `inplace`, by keyword or by place."""
    try:
        names = list(inspect.signature(node.target).parameters)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return  # of no signature
    if node.kwargs.get("inplace") is True:
        yield lambda in_place: node.update_kwarg("inplace", in_place)
    elif "inplace" in names:
        place = names.index("inplace")
        if len(node.args) > place and node.args[place] is True:
            yield lambda in_place: node.update_arg(place, in_place)


def _plain(node: fx.Node) -> Callable[..., object] | str | None:
    """What does the same as the node's function or method out of place: torch names the others with a "_"."""
    if node.op == "call_method":
        name = str(node.target)
        plain = name.removesuffix("_")
        is_other = name.endswith("_") and not name.endswith("__") and callable(getattr(Tensor, plain, None))
        return plain if is_other else None
    if node.op != "call_function":
        return None
    name = getattr(node.target, "__name__", "")
    if not name.endswith("_") or name.endswith("__"):
        return None
    for place in (torch, F):
        if getattr(place, name, None) is node.target:
            return getattr(place, name[:-1], None)
    return None
