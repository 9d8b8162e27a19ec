"""A finalist as files: safetensors, ONNX and INT8 OpenVINO IR."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet.errors import OvnasError

if TYPE_CHECKING:
    import openvino as ov
    from torch import Tensor, nn

__all__ = ["Exported", "export_model"]

TOLERANCE = 1e-3


@dataclass(frozen=True)
class Exported:
    """`model` is the INT8 OpenVINO model that `files["ir"]` holds."""

    model: ov.Model
    files: dict[str, Path]


def export_model(
    module: nn.Module, example: Tensor, calibration: Tensor, folder: Path, *, core: ov.Core
) -> Exported:
    """Writes weights.safetensors, model.onnx (FP32) and model.xml/.bin (INT8, quantised on
    `calibration`, shape (n, C, H, W)). Raises OvnasError if the ONNX file computes something else."""
    import openvino as ov

    from supernet.checkpoint import save_state
    from supernet.int8 import quantize, to_openvino

    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "ir": folder / "model.xml",
        "onnx": folder / "model.onnx",
        "weights": folder / "weights.safetensors",
    }
    save_state(module.state_dict(), files["weights"])
    model = quantize(to_openvino(module, example), calibration)
    try:
        _export_onnx(module, example, files["onnx"])
    except Exception as error:
        raise OvnasError(f"the sub-network cannot be exported to {files['onnx']}: {error}") from error
    try:
        _check_onnx(module, example, core.read_model(files["onnx"]), core)
        ov.save_model(model, files["ir"], compress_to_fp16=False)
        return Exported(core.read_model(files["ir"]), files)
    except (OSError, RuntimeError) as error:  # a full disk shows when a file is read back
        raise OvnasError(f"{folder} cannot be written; is the disk full? {error}") from error


def _export_onnx(module: nn.Module, example: Tensor, path: Path) -> None:
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            str(path),
            input_names=["input"],
            output_names=["output"],
            opset_version=17,
            dynamo=False,
        )


def _check_onnx(module: nn.Module, example: Tensor, onnx: Any, core: ov.Core) -> None:
    import numpy as np
    import torch

    compiled = core.compile_model(onnx, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled([example.numpy()])[0]
    with torch.no_grad():
        expected = module(example).numpy()
    if not np.allclose(found, expected, rtol=0, atol=TOLERANCE * max(1.0, float(np.abs(expected).max()))):
        raise OvnasError("the exported ONNX model computes something else than the sub-network")
