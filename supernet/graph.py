"""The traced graph of a model: torch.fx nodes with the shapes of an example run."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from supernet.errors import OvnasError
from supernet.functional import as_modules
from supernet.kept_whole import parts_to_keep
from supernet.out_of_place import copy_written_inputs, make_out_of_place
from supernet.tracer import Tracer, first_sentence, is_question

__all__ = ["Example", "TracedModel", "as_tuple", "reproduces", "shape_of", "trace"]

Example = Tensor | tuple[Tensor, ...]
TOLERANCE = 1e-5


@dataclass(frozen=True)
class TracedModel:
    """`module` holds a copy of the model's modules; `shapes` has each tensor node's shape by node name
    (a list of shapes for a node that returns several tensors). `passed` are nodes that only hand on a
    tensor that they read, by the name of the node that made it. `opaque` are modules that could not be
    traced into, with the reason."""

    module: fx.GraphModule
    shapes: dict[str, Any]
    opaque: dict[str, str]
    passed: dict[str, str]


def as_tuple(example: Example) -> tuple[Tensor, ...]:
    """The example inputs as a tuple."""
    return (example,) if isinstance(example, Tensor) else tuple(example)


def trace(model: nn.Module, example: Example) -> TracedModel:
    """Traces a copy of `model` in evaluation mode and records shapes with one run on `example`.

    What its code asks of shapes is answered by the example's; a submodule that asks for the values of
    tensors, or whose traced graph is not what it does, becomes an opaque node. Arguments that the example
    does not give have their defaults; parametrised weights become plain ones. Raises OvnasError where the
    model itself cannot be traced or run, or gives another output than the graph of its own code.
    """
    _require_no_hooked_weights(model)
    inputs = as_tuple(example)
    with torch.no_grad():
        try:
            return _traced(*_ready(model, inputs), inputs)
        except _WrongGraphError as error:
            kept = _kept_whole(model, inputs)
            with contextlib.suppress(_WrongGraphError):
                if kept:
                    return _traced(*_ready(model, inputs), inputs, kept)
            raise OvnasError(f"the model's traced graph {error}") from error


def _ready(model: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[nn.Module, Any]:
    """A copy in evaluation mode to trace, and its output."""
    model = copy.deepcopy(model).eval()
    try:
        expected = model(*_copied(inputs))  # which a model may write into
    except Exception as error:
        shapes = [tuple(x.shape) for x in inputs]
        raise OvnasError(f"the model does not run on the example input of shape {shapes}: {error}") from error
    _make_plain(model)
    return model, expected


class _WrongGraphError(Exception):
    """A graph was traced, but is not what the model does; says what it does instead."""


def _traced(
    model: nn.Module,
    expected: Any,
    inputs: tuple[Tensor, ...],
    kept: Mapping[str, str] = MappingProxyType({}),
) -> TracedModel:
    """The graph of a model, which may be changed by it. Raises _WrongGraphError, and OvnasError for what
    cannot be traced."""
    tracer = Tracer([inputs, *_doubled(model, inputs)], kept)
    try:
        graph = tracer.trace(model)
    except Exception as error:
        raise OvnasError(
            f"the model's own forward cannot be traced by torch.fx ({first_sentence(error)}); move such "
            "code into a submodule, which then stays fixed"
        ) from error
    for node in reversed(graph.nodes):  # of `b, c, _, _ = x.size()`, and what the tracer has answered
        if is_question(node) and not node.users:
            graph.erase_node(node)
    _spell_out_shuffles(model, graph)
    module = fx.GraphModule(model, graph)
    recorder = _ShapeRecorder(module)
    try:
        actual = recorder.run(*_copied(inputs))
        if as_modules(module, recorder.shapes):
            actual = module(*_copied(inputs))
    except Exception as error:
        raise _WrongGraphError(f"does not run: {error}") from error
    if not _close(expected, actual):
        raise _WrongGraphError("gives another output than the model; is it random?")

    def is_right() -> bool:
        try:
            return _close(expected, module(*_copied(inputs)))
        except (RuntimeError, TypeError, ValueError, AttributeError):
            return False  # out of place it takes other arguments, or gives another shape

    make_out_of_place(module, is_right)
    for copy_name, name in copy_written_inputs(module, _copied(inputs)).items():
        recorder.shapes[copy_name] = recorder.shapes[name]
    return TracedModel(module, recorder.shapes, tracer.opaque, recorder.passed)


def _kept_whole(model: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, str]:
    """The submodules that must not be traced into for the graph to be right, with the reason."""
    reason = "its traced graph is not what it does"

    def is_right(paths: frozenset[str]) -> bool:
        try:
            _traced(*_ready(model, inputs), inputs, dict.fromkeys(paths, reason))
        except (_WrongGraphError, OvnasError):
            return False
        return True

    return dict.fromkeys(parts_to_keep(model, is_right), reason)


_HOOKS = {
    WeightNorm: "torch.nn.utils.remove_weight_norm",
    SpectralNorm: "torch.nn.utils.remove_spectral_norm",
    BasePruningMethod: "torch.nn.utils.prune.remove",
}


def _require_no_hooked_weights(model: nn.Module) -> None:
    """Weights that a hook makes anew before each call can be neither copied nor cut."""
    for path, module in model.named_modules():
        for hook in module._forward_pre_hooks.values():
            remedy = next((text for kind, text in _HOOKS.items() if isinstance(hook, kind)), None)
            if remedy is not None:
                raise OvnasError(
                    f"{path or 'the model'} has weights that a hook makes before each call "
                    f"({type(hook).__name__}); make them plain with {remedy}"
                )


def reproduces(expected: nn.Module, actual: nn.Module, example: Example) -> bool:
    """Whether two modules give the same output in evaluation mode, within 1e-5 of its largest value."""
    inputs = as_tuple(example)
    with torch.no_grad():
        return _close(expected.eval()(*_copied(inputs)), actual.eval()(*_copied(inputs)))


def _copied(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(x.clone() for x in inputs)


def _spell_out_shuffles(model: nn.Module, graph: fx.Graph) -> None:
    """Channel shuffles as the views that they are."""
    for node in list(graph.nodes):
        if node.op == "call_module" and isinstance(model.get_submodule(node.target), nn.ChannelShuffle):
            groups: Any = model.get_submodule(node.target).groups
        elif node.op == "call_function" and node.target in (F.channel_shuffle, torch.channel_shuffle):
            groups = node.args[1] if len(node.args) > 1 else node.kwargs["groups"]
        else:
            continue
        with graph.inserting_before(node):
            pieces = graph.call_function(torch.unflatten, (node.all_input_nodes[0], 1, (groups, -1)))
            mixed = graph.call_function(torch.transpose, (pieces, 1, 2))
            shuffled = graph.call_function(torch.flatten, (mixed, 1, 2))
        node.replace_all_uses_with(shuffled)
        graph.erase_node(node)


def _make_plain(model: nn.Module) -> None:
    """Parametrised weights (weight norm, spectral norm) become parameters with the values that they have.

    Not by torch's own removal, which takes them from the class too, and that is also the caller's model's.
    """
    for module in list(model.modules()):
        if not parametrize.is_parametrized(module):
            continue
        names = list(module.parametrizations)  # type: ignore[arg-type]
        values = {name: getattr(module, name).detach().clone() for name in names}
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
        for name, value in values.items():
            module.register_parameter(name, nn.Parameter(value))


def _doubled(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """The inputs with a batch twice as large; none if the model takes no such batch."""
    try:
        doubled = tuple(torch.cat([x, x]) for x in inputs)
        model(*doubled)
    except Exception:
        return []
    return [doubled]


class _ShapeRecorder(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[str, Any] = {}
        self.passed: dict[str, str] = {}

    def run_node(self, n: fx.Node) -> Any:
        read = {m: self.env[m] for m in n.all_input_nodes if isinstance(self.env.get(m), Tensor)}
        versions = {m: value._version for m, value in read.items()}
        result = super().run_node(n)
        self.shapes[n.name] = shape_of(result)
        for source, value in read.items():
            if result is value and value._version == versions[source] and n.op != "output":
                self.passed[n.name] = source.name
        return result


def shape_of(value: Any) -> Any:
    """A tensor's shape, a list of them for several, None for anything else."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, (tuple, list)) and value and all(isinstance(v, Tensor) for v in value):
        return [tuple(v.shape) for v in value]
    return None


def _close(expected: Any, actual: Any) -> bool:
    if isinstance(expected, Tensor):
        if not isinstance(actual, Tensor) or expected.shape != actual.shape:
            return False
        scale = max(1.0, float(expected.abs().max()) if expected.numel() else 0.0)
        return bool(torch.allclose(expected, actual, rtol=0, atol=TOLERANCE * scale))
    if isinstance(expected, dict):  # of any kind: a graph returns plain ones
        return (
            isinstance(actual, dict)
            and expected.keys() == actual.keys()
            and all(_close(expected[key], actual[key]) for key in expected)
        )
    if isinstance(expected, (tuple, list)):
        return (
            isinstance(actual, (tuple, list))
            and len(expected) == len(actual)
            and all(_close(e, a) for e, a in zip(expected, actual, strict=True))
        )
    try:
        return bool(expected == actual)
    except RuntimeError:  # of tensors inside
        raise OvnasError(
            f"the model returns a {type(expected).__name__}; tensors, and lists, tuples and dicts of them, "
            "are understood"
        ) from None
