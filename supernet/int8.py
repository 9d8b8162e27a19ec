"""A plain module to OpenVINO, and to INT8."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

from supernet.errors import OvnasError
from supernet.graph import Example, as_tuple
from supernet.tracer import is_question

if TYPE_CHECKING:
    import numpy as np
    import openvino as ov

__all__ = ["convert_with_taps", "fold_batchnorm", "quantize", "to_openvino"]


def to_openvino(module: nn.Module, example_input: Example) -> ov.Model:
    """The module as a static-shape OpenVINO model; it shares no weights with the module.

    The BatchNorms of a traced module are folded into its convolutions first, so that each convolution
    keeps the name that its author gave it.
    """
    return convert_with_taps(module, example_input, ())[0]


def convert_with_taps(
    module: nn.Module, example_input: Example, taps: Sequence[str]
) -> tuple[ov.Model, dict[str, str]]:
    """As `to_openvino`, and the OpenVINO node name that computes each traced node of `taps`."""
    import openvino as ov
    from openvino.passes import ConstantFolding, Manager

    n_kept, inputs = 0, as_tuple(example_input)
    if isinstance(module, fx.GraphModule):
        if taps:
            module = copy.deepcopy(module)
            _add_outputs(module, taps)  # before folding, which moves a BatchNorm's readers to its convolution
        module = fold_batchnorm(module)
        _fix_paddings(module, inputs)
        n_kept = _keep_layers(module)
    module = module.eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.jit").setLevel(logging.ERROR)
        example = inputs if len(inputs) > 1 else inputs[0]
        try:
            try:
                model = ov.convert_model(module, example_input=example, share_weights=False)
            except ov.frontend.OpConversionFailure:  # a kernel of the map's own size, say
                shapes = [list(x.shape) for x in inputs]
                model = ov.convert_model(module, example_input=example, share_weights=False, input=shapes)
        except Exception as error:
            raise OvnasError(f"OpenVINO cannot convert the module: {error}") from error
    results = model.get_results()
    for result in results[len(results) - n_kept :]:
        model.remove_result(result)
    results = results[: len(results) - n_kept]
    names = {}
    for tap, result in zip(taps, results[len(results) - len(taps) :], strict=True):
        names[tap] = result.input_value(0).get_node().get_friendly_name()
        model.remove_result(result)
    model.reshape({port: list(x.shape) for port, x in zip(model.inputs, inputs, strict=True)})
    _fold_shapes(model)
    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)
    return model, names


def _fold_shapes(model: ov.Model) -> None:
    """Shapes are static now, but conversion marks what computes with them as not to be folded."""
    from openvino import opset13 as ops

    for node in model.get_ordered_ops():
        if node.get_type_name() == "ShapeOf" and node.input(0).get_partial_shape().is_static:
            shape = list(node.input(0).get_shape())
            constant = ops.constant(shape, node.get_output_element_type(0))
            node.output(0).replace(constant.output(0))


def quantize(
    model: ov.Model,
    samples: Tensor | np.ndarray[Any, Any] | Sequence[Tensor],
    *,
    fast: bool = False,
    half_range: bool | None = None,
) -> ov.Model:
    """INT8 post-training quantisation by NNCF; `samples` has shape (n, C, H, W).

    All whole batches of the model's batch size are used. `fast` leaves out the bias correction,
    where only speed matters: the graph is the same. `half_range` gives all weights 7 bits, not those of the
    first layer alone: CPUs without VNNI add pairs of products in 16 bits, which else saturate. None: as this
    CPU needs.
    """
    import nncf

    from supernet.vnni import this_cpu_has_vnni

    half_range = not this_cpu_has_vnni() if half_range is None else half_range

    nncf.set_log_level(logging.ERROR)
    batch = model.inputs[0].shape[0]
    n_batches = len(samples) // batch
    if n_batches < 1:
        raise OvnasError(f"quantisation needs at least {batch} sample(s), but got {len(samples)}")

    def prepared(start: int) -> Any:
        items = samples[start * batch : (start + 1) * batch]
        tensor = items if not isinstance(items, (list, tuple)) else torch.stack(list(items))
        return tensor.numpy() if isinstance(tensor, Tensor) else tensor

    # NNCF draws its progress bars on the standard output, which belongs to our own results.
    with contextlib.redirect_stdout(io.StringIO()):
        return nncf.quantize(
            model,
            nncf.Dataset(range(n_batches), prepared),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=n_batches,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                disable_bias_correction=fast,
                overflow_fix=overflow_fix(half_range),
            ),
        )


def overflow_fix(half_range: bool) -> Any:
    """NNCF's word for it; its default without."""
    import nncf

    return nncf.OverflowFix.ENABLE if half_range else nncf.OverflowFix.FIRST_LAYER


def fold_batchnorm(module: fx.GraphModule) -> fx.GraphModule:
    """A copy in evaluation mode with each BatchNorm that alone reads a convolution folded into it. Only
    torch's own layers without hooks are: another one may compute something else with its weights."""
    module = copy.deepcopy(module).eval()
    parts = dict(module.named_modules())
    for node in list(module.graph.nodes):
        norm = parts.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(norm, nn.modules.batchnorm._BatchNorm) or norm.running_mean is None:
            continue
        source = node.all_input_nodes[0]
        if source.op != "call_module" or len(source.users) != 1:
            continue
        path = str(source.target)
        conv = parts.get(path)
        calls = [n for n in module.graph.nodes if n.op == "call_module" and str(n.target) == path]
        if not isinstance(conv, _ConvNd) or len(calls) > 1 or not (_is_plain(conv) and _is_plain(norm)):
            continue
        if conv.transposed and conv.groups > 1:
            continue  # torch folds nothing into a transposed convolution in groups
        parent, _, leaf = path.rpartition(".")
        folded = fuse_conv_bn_eval(conv, norm, conv.transposed)
        setattr(module.get_submodule(parent), leaf, folded)
        parts[path] = folded
        node.replace_all_uses_with(source)
        module.graph.erase_node(node)
    module.recompile()
    return module


_PLAIN = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm,
)  # fmt: skip


def _is_plain(module: nn.Module) -> bool:
    """Whether it is one of torch's own, and nothing hangs on it."""
    return type(module) in _PLAIN and not (module._forward_hooks or module._forward_pre_hooks)


def _fix_paddings(module: fx.GraphModule, inputs: tuple[Tensor, ...]) -> None:
    """Paddings that the graph computes from shapes become constants, for a static model has them but once:
    OpenVINO does not fold what conversion makes of them."""
    pads = [n for n in module.graph.nodes if n.target is F.pad and len(n.all_input_nodes) > 1]
    if not pads:
        return
    run = fx.Interpreter(module, garbage_collect_values=False)
    with torch.no_grad():
        run.run(*(x.clone() for x in inputs))
    numbers = {node: value for node, value in run.env.items() if isinstance(value, int)}
    for node in pads:
        node.args = fx.map_arg(node.args, lambda n: numbers.get(n, n))
        node.kwargs = fx.map_arg(node.kwargs, lambda n: numbers.get(n, n))
    for node in reversed(module.graph.nodes):
        if is_question(node) and not node.users:
            module.graph.erase_node(node)
    module.recompile()


def _keep_layers(module: fx.GraphModule) -> int:
    """Makes each layer's result an output too, so that conversion merges no multiplication behind it into its
    weights: the merged layer would lose its name. Returns how many."""
    parts = dict(module.named_modules())
    layers = [
        node.name
        for node in module.graph.nodes
        if node.op == "call_module" and isinstance(parts[str(node.target)], (_ConvNd, nn.Linear))
    ]
    _add_outputs(module, layers)
    return len(layers)


def _add_outputs(module: fx.GraphModule, taps: Sequence[str]) -> None:
    nodes = {node.name: node for node in module.graph.nodes}
    output = next(node for node in module.graph.nodes if node.op == "output")
    existing = output.args[0]
    flat = list(existing) if isinstance(existing, (tuple, list)) else [existing]
    output.args = (tuple(flat + [nodes[tap] for tap in taps]),)
    module.recompile()
