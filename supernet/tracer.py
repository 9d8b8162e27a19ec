"""How torch.fx walks through a model's code, and what the code may ask on the way."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, fx, nn

__all__ = ["OF_SHAPES", "Tracer", "first_sentence", "is_question"]

# What a tensor can be asked, by method or attribute, that its values have no part in.
OF_SHAPES = frozenset((
    "size", "shape", "dim", "ndim", "numel", "stride", "dtype", "device", "layout", "is_cuda", "training",
    "requires_grad", "is_contiguous", "is_floating_point", "element_size", "get_device",
))  # fmt: skip
_PURE = frozenset((
    getattr, operator.getitem, operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge,
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.neg,
    operator.pow, math.sqrt, math.ceil, math.floor, torch._assert,
))  # fmt: skip
_EMPTY: dict[Any, Any] = {inspect.Parameter.VAR_POSITIONAL: (), inspect.Parameter.VAR_KEYWORD: {}}


class _Asked(fx.Proxy):
    """A traced value that says what it is on the example inputs, where the code needs a plain number."""

    tracer: Tracer

    def __getattr__(self, name: str) -> fx.proxy.Attribute:
        return _AskedAttribute(self, name)

    def __len__(self) -> int:
        return self.tracer.length(self)

    def __int__(self) -> int:
        return int(self.tracer.number(self))

    def __float__(self) -> float:
        return float(self.tracer.number(self))

    def __index__(self) -> int:
        return operator.index(self.tracer.number(self))  # type: ignore[arg-type]


class _AskedAttribute(_Asked, fx.proxy.Attribute):
    """An attribute of a traced value, such as its shape."""


class Tracer(fx.Tracer):
    """Traces into every submodule that can be traced, and keeps the others as one node: `opaque` has them,
    with the reason.

    What the code asks about shapes where it branches, loops or needs a plain number is answered by a run on
    each of `probes`, inputs that may differ in their batch; where they agree, the answer is a constant of
    the graph. A question about the values of tensors, or about the batch, ends the tracing of its module.
    Modules of `kept`, paths with reasons, are not traced into.
    """

    def __init__(
        self, probes: Sequence[tuple[Tensor, ...]], kept: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(param_shapes_constant=True)
        self.opaque: dict[str, str] = {}
        self._kept = kept
        self._probes = probes
        self._runs: list[fx.Interpreter] = []
        self._is_running = False

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """What stands for a node's value in the model's code."""
        return _Asked(node, self)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """The truth of what was computed of shapes alone."""
        return bool(self._answer(obj.node))

    def iter(self, obj: fx.Proxy) -> Iterator[fx.Proxy]:
        """The items of a shape, or of several tensors, each a node of its own."""
        return iter([operator.getitem(obj, place) for place in range(self.length(obj))])

    def length(self, obj: fx.Proxy) -> int:
        """How many items a shape, a tensor or several tensors have."""
        values = self._values(obj.node)
        if not all(isinstance(value, (tuple, list, Tensor)) for value in values):
            raise fx.proxy.TraceError(f"{obj.node.name} has no length")
        return int(self._agreed(obj.node, [len(value) for value in values]))

    def number(self, obj: fx.Proxy) -> int | float:
        """The number that was computed of shapes alone."""
        value = self._answer(obj.node)
        if not isinstance(value, (int, float)):
            raise fx.proxy.TraceError(f"{obj.node.name} is no number")
        return value

    def _answer(self, node: fx.Node) -> Any:
        """A node's value, if no value of a tensor has a part in it."""
        values = self._values(node)
        if not _is_of_shapes(node, self._runs[0].env):
            raise fx.proxy.TraceError(f"the code depends on the values of a tensor, {node.name}")
        return self._agreed(node, values)

    @staticmethod
    def _agreed(node: fx.Node, values: list[Any]) -> Any:
        if any(value != values[0] for value in values):
            raise fx.proxy.TraceError(f"the code needs the size of the batch as a plain number, {node.name}")
        return values[0]

    def _values(self, node: fx.Node) -> list[Any]:
        """What a node gives on each of the probes. The nodes before it run first, each once."""
        if not self._runs:
            for inputs in self._probes:
                run = fx.Interpreter(self.root, garbage_collect_values=False, graph=self.graph)
                run.args_iter = iter([x.clone() for x in inputs])
                self._runs.append(run)
        self._is_running = True
        try:
            for run in self._runs:
                for earlier in self.graph.nodes:
                    if earlier not in run.env:
                        run.env[earlier] = run.run_node(earlier)
        finally:
            self._is_running = False
        return [run.env[node] for run in self._runs]

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """Arguments behind the inputs are their defaults, and no inputs of the graph."""
        function, arguments = super().create_args_for_root(root_fn, is_module, concrete_args)
        parameters = inspect.signature(root_fn).parameters
        kinds = [parameter.kind for parameter in parameters.values()][: 1 + len(self._probes[0])]
        if inspect.Parameter.VAR_POSITIONAL in kinds:
            raise TypeError("its inputs have no names of their own, but are *args")
        for place in range(1 + len(self._probes[0]), len(arguments)):
            node = arguments[place].node
            parameter = parameters[str(node.target).lstrip("*")]
            arguments[place] = _EMPTY.get(parameter.kind, parameter.default)
            self.graph.erase_node(node)
        return function, arguments

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """A module's attribute: a node if it is a parameter, but while nodes run."""
        return attr_val if self._is_running else super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Traces into a module; one that cannot be traced becomes a node. While nodes run, it just runs."""
        if self._is_running:
            return forward(*args, **kwargs)
        path = self.path_of_module(m)
        if path in self._kept:
            self.opaque[path] = self._kept[path]
            return self.create_proxy("call_module", path, args, kwargs)
        n_before, n_open = len(self.graph.nodes), len(self.module_stack)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception as error:
            for node in list(self.graph.nodes)[: n_before - 1 : -1]:
                self.graph.erase_node(node)
            while len(self.module_stack) > n_open:  # the tracer leaves a failed module on its stack
                self.module_stack.popitem()
            self.opaque[path] = f"cannot be traced: {first_sentence(error)}"
            return self.create_proxy("call_module", path, args, kwargs)


def first_sentence(error: Exception) -> str:
    """What an error says first, on one line."""
    return str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__


def is_question(node: fx.Node) -> bool:
    """Whether a node asks or asserts something, or computes a value of its own without changing another."""
    if node.op == "call_method":
        return node.target in OF_SHAPES
    return node.op == "call_function" and node.target in _PURE


def _is_of_shapes(node: fx.Node, values: Mapping[fx.Node, Any]) -> bool:
    """Whether no value of a tensor has a part in a node's own."""
    if isinstance(values[node], Tensor):
        return False
    asked = node.args[1] if node.target is getattr else node.target
    return asked in OF_SHAPES or all(_is_of_shapes(source, values) for source in node.all_input_nodes)
