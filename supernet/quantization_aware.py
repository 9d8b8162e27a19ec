"""Quantisation-aware training: NNCF puts fake quantisers into a torch module, training moves its weights
and the quantisers' ranges, and what comes out converts to an INT8 OpenVINO model as it is.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import types
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn

from supernet.errors import OvnasError
from supernet.int8 import fold_batchnorm, overflow_fix

if TYPE_CHECKING:
    import openvino as ov

__all__ = ["insert_quantizers", "quantized_to_openvino"]


class _Plain(nn.Module):
    """NNCF takes a traced module for another kind, for which it needs further libraries. The input has a
    name of its own: it is quantised too."""

    def __init__(self, traced: nn.Module) -> None:
        super().__init__()
        self.traced = traced

    def forward(self, x: Tensor) -> Any:
        return self.traced(x)


def insert_quantizers(module: fx.GraphModule, samples: Tensor, *, half_range: bool = False) -> nn.Module:
    """A copy of the module that computes as its INT8 model will, and can be trained.

    BatchNorms are folded into their convolutions first, as in the model that runs: their statistics do
    not move any more. `samples`, shape (n, C, H, W), calibrate the ranges that training begins with;
    `half_range` as in `int8.quantize`.
    """
    import nncf

    nncf.set_log_level(logging.ERROR)
    _use_torch_functions()
    plain = _Plain(fold_batchnorm(module))
    # NNCF draws its progress bars on the standard output, which belongs to our own results.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return nncf.quantize(  # type: ignore[no-any-return]
            plain,
            nncf.Dataset([sample[None] for sample in samples]),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(samples),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=overflow_fix(half_range)),
        )


def quantized_to_openvino(module: nn.Module, example_input: Tensor) -> ov.Model:
    """The INT8 OpenVINO model of what `insert_quantizers` gave, of static shape."""
    import openvino as ov
    from openvino.passes import ConstantFolding, Manager

    module = copy.deepcopy(module).cpu().eval()
    _replace_quantizers(module)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.jit").setLevel(logging.ERROR)
        try:
            model = ov.convert_model(module, example_input=example_input, share_weights=False)
        except Exception as error:
            raise OvnasError(f"OpenVINO cannot convert the quantised module: {error}") from error
    model.reshape(list(example_input.shape))
    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)
    return model


class _FakeQuantize(nn.Module):
    """Torch's own fake quantiser, which OpenVINO converts; per channel of `axis`, if there is one.

    `limits` where values beyond them are cut off before: a narrow or half range of weights.
    """

    def __init__(
        self,
        levels: tuple[int, int],
        scale: Tensor,
        zero_point: Tensor,
        axis: int | None,
        limits: tuple[Tensor, Tensor] | None,
    ) -> None:
        super().__init__()
        self.levels, self.axis, self.limits = levels, axis, limits
        self.scale, self.zero_point = scale, zero_point

    def forward(self, x: Tensor) -> Tensor:
        if self.limits is not None:
            x = torch.min(torch.max(x, self.limits[0]), self.limits[1])
        if self.axis is None:
            return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, *self.levels)
        return torch.fake_quantize_per_channel_affine(x, self.scale, self.zero_point, self.axis, *self.levels)


def _replace_quantizers(module: nn.Module) -> None:
    """What `nncf.strip` does, which needs torchao for it."""
    from nncf.torch.quantization.layers import BaseQuantizer

    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if not isinstance(child, BaseQuantizer):
                continue
            child.set_levels()
            low, high, scale, zero_point = child.get_parameters_for_torch_fq()
            is_cut = child.is_half_range or getattr(child, "narrow_range", False)
            limits = None
            if is_cut:
                with torch.no_grad():
                    limits = tuple(value.clone() for value in child.get_input_low_input_high())
            axis = max(range(len(child.scale_shape)), key=child.scale_shape.__getitem__)
            if not child.per_channel:
                scale, zero_point = scale.squeeze(), zero_point.squeeze()
            levels = (int(low), int(high))
            new = _FakeQuantize(levels, scale, zero_point, axis if child.per_channel else None, limits)
            setattr(parent, name, new)


def _use_torch_functions() -> None:
    """NNCF would compile its quantisers at first use, which needs a C++ compiler and a minute; it has the
    same functions in torch."""
    if torch.cuda.is_available():
        return
    from nncf.torch.quantization import extensions
    from nncf.torch.quantization.reference import ReferenceBackendType, ReferenceQuantize

    functions = ReferenceQuantize(ReferenceBackendType.TORCH)
    namespace = extensions.QuantizedFunctionsCPU
    if getattr(namespace, "_loaded_namespace", functions) is None:
        namespace._loaded_namespace = types.SimpleNamespace(
            Quantize_forward=functions.forward, Quantize_backward=functions.backward
        )
