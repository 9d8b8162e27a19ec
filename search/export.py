"""A finalist as files: safetensors, ONNX, INT8 OpenVINO IR, and its architecture's text."""

from __future__ import annotations

import importlib
import inspect
import io
import logging
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet.errors import OvnasError

if TYPE_CHECKING:
    import numpy as np
    import openvino as ov
    from torch import Tensor, nn

__all__ = ["Exported", "export_model", "onnx_checker"]

TOLERANCE = 1e-3


@dataclass(frozen=True)
class Exported:
    """`model` is the INT8 OpenVINO model that `files["ir"]` holds; `onnx_checked_by` names what
    ran the ONNX file."""

    model: ov.Model
    files: dict[str, Path]
    onnx_checked_by: str


def export_model(
    module: nn.Module,
    example: Tensor,
    calibration: Tensor,
    folder: Path,
    *,
    core: ov.Core,
    architecture: str = "",
    half_range: bool = False,
    int8: ov.Model | None = None,
) -> Exported:
    """Writes weights.safetensors, model.onnx (FP32), model.xml/.bin (INT8, quantised on `calibration`, shape
    (n, C, H, W), or `int8` as it is) and, where there is one, architecture.txt. The batch is that of
    `example`; `half_range` is for CPUs without VNNI (`supernet.int8.quantize`).

    The module takes one tensor and gives one or several. Raises OvnasError for another one, and if the
    ONNX file computes something else.
    """
    import openvino as ov

    from supernet.int8 import quantize, to_openvino
    from supernet.whole_files import save_state

    expected = _outputs(module, example)
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "ir": folder / "model.xml",
        "onnx": folder / "model.onnx",
        "weights": folder / "weights.safetensors",
        "architecture": folder / "architecture.txt",
    }
    if architecture:
        files["architecture"].write_text(f"{architecture}\n", encoding="utf-8")
    else:
        del files["architecture"]
    save_state(module.state_dict(), files["weights"])
    model = int8
    if model is None:
        model = quantize(to_openvino(module, example), calibration, half_range=half_range)
    try:
        _export_onnx(module, example, files["onnx"], len(expected))
    except Exception as error:
        raise OvnasError(f"the sub-network cannot be exported to {files['onnx']}: {error}") from error
    try:
        checked_by = _check_onnx(files["onnx"], example, expected, core)
        ov.save_model(model, files["ir"], compress_to_fp16=False)
        return Exported(core.read_model(files["ir"]), files, checked_by)
    except (OSError, RuntimeError) as error:  # a full disk shows when a file is read back
        raise OvnasError(f"{folder} cannot be written; is the disk full? {error}") from error


def onnx_checker() -> str:
    """What an ONNX file is run by: onnxruntime where it is installed, else OpenVINO, with its version."""
    if util.find_spec("onnxruntime") is not None:
        return f"onnxruntime {metadata.version('onnxruntime')}"
    return f"OpenVINO {metadata.version('openvino')}"


def _outputs(module: nn.Module, example: Tensor) -> list[Tensor]:
    """What the module computes of `example`: one tensor or several."""
    import torch

    needed = [
        name
        for name, one in inspect.signature(module.forward).parameters.items()
        if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    if len(needed) > 1:
        raise OvnasError(
            f"a network to export must take one tensor, but this one takes {len(needed)} "
            f"({', '.join(needed)}); wrap it in a module that makes the others itself"
        )
    with torch.no_grad():
        found: Any = module(example)
    outputs = list(found) if isinstance(found, (tuple, list)) else [found]
    if not all(isinstance(value, torch.Tensor) for value in outputs):
        raise OvnasError(
            "a network to export must give a tensor or a tuple of tensors, but this one gives "
            f"{type(found).__name__}; wrap it in a module that picks the tensors"
        )
    return outputs


def _export_onnx(module: nn.Module, example: Tensor, path: Path, n_outputs: int) -> None:
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    names = ["output"] if n_outputs == 1 else [f"output{i}" for i in range(n_outputs)]
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            str(path),
            input_names=["input"],
            output_names=names,
            opset_version=17,
            dynamo=False,
        )


def _check_onnx(path: Path, example: Tensor, expected: Sequence[Tensor], core: ov.Core) -> str:
    """Runs the file and compares all its outputs; returns what it was run by."""
    import numpy as np

    checker = onnx_checker()
    run = _run_by_onnxruntime if checker.startswith("onnxruntime") else _run_by_openvino
    found = run(path, example.numpy(), core)
    for ours, theirs in zip([value.numpy() for value in expected], found, strict=True):
        tolerance = TOLERANCE * max(1.0, float(np.abs(ours).max()))
        if ours.shape != theirs.shape or not np.allclose(theirs, ours, rtol=0, atol=tolerance):
            raise OvnasError(
                f"the exported ONNX model computes something else than the sub-network (by {checker})"
            )
    return checker


def _run_by_onnxruntime(path: Path, image: np.ndarray[Any, Any], core: ov.Core) -> list[Any]:
    onnxruntime: Any = importlib.import_module("onnxruntime")  # no dependency, so without types
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: image}))


def _run_by_openvino(path: Path, image: np.ndarray[Any, Any], core: ov.Core) -> list[Any]:
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled([image])
    return [results[i] for i in range(len(compiled.outputs))]
