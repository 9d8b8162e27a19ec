"""Quantisation-aware training: NNCF puts fake quantisers into a torch module, training moves its weights
and the quantisers' ranges, and what comes out converts to an INT8 OpenVINO model as it is.
"""

from __future__ import annotations

import copy
import logging
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn

from supernet.errors import OvnasError
from supernet.int8 import fold_batchnorm

if TYPE_CHECKING:
    import openvino as ov

__all__ = ["insert_quantizers", "quantized_to_openvino"]


class _Plain(nn.Module):
    """NNCF takes a traced module for another kind, for which it needs further libraries."""

    def __init__(self, traced: nn.Module) -> None:
        super().__init__()
        self.traced = traced

    def forward(self, *inputs: Tensor) -> Any:
        return self.traced(*inputs)


def insert_quantizers(module: fx.GraphModule, samples: Tensor) -> nn.Module:
    """A copy of the module that computes as its INT8 model will, and can be trained.

    BatchNorms are folded into their convolutions first, as in the model that runs: their statistics do
    not move any more. `samples`, shape (n, C, H, W), calibrate the ranges that training begins with.
    """
    import nncf

    nncf.set_log_level(logging.ERROR)
    _use_torch_functions()
    plain = _Plain(fold_batchnorm(module))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nncf.quantize(  # type: ignore[no-any-return]
            plain,
            nncf.Dataset([sample[None] for sample in samples]),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(samples),
        )


def quantized_to_openvino(module: nn.Module, example_input: Tensor) -> ov.Model:
    """The INT8 OpenVINO model of what `insert_quantizers` gave, of static shape."""
    import nncf
    import openvino as ov

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        stripped = nncf.strip(copy.deepcopy(module).cpu().eval(), do_copy=False, example_input=example_input)
        try:
            model = ov.convert_model(stripped, example_input=example_input, share_weights=False)
        except Exception as error:
            raise OvnasError(f"OpenVINO cannot convert the quantised module: {error}") from error
    model.reshape(list(example_input.shape))
    return model


def _use_torch_functions() -> None:
    """NNCF would compile its quantisers at first use, which needs a C++ compiler and a minute; it has the
    same functions in torch."""
    if torch.cuda.is_available():
        return
    from nncf.torch.quantization import extensions
    from nncf.torch.quantization.reference import ReferenceQuantizedFunctions

    namespace = extensions.QuantizedFunctionsCPU
    if getattr(namespace, "_loaded_namespace", ReferenceQuantizedFunctions) is None:
        namespace._loaded_namespace = ReferenceQuantizedFunctions
