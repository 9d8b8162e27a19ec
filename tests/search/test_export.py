from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from profiling.kernel import read_kernels
from profiling.machine import has_vnni, read_machine
from profiling.target import core
from search import export
from search.export import export_model
from supernet import OvnasError

F32 = {"INFERENCE_PRECISION_HINT": "f32"}


@pytest.fixture(scope="module")
def module(tiny_network):
    space = tiny_network.space
    codes = [min(1, len(slot.choices) - 1) for slot in space.slots]
    return tiny_network.extract(space.decode(codes))


@pytest.fixture(scope="module")
def exported(module, tiny_images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "deep" / "01"
    return export_model(module, tiny_images[:1], tiny_images, folder, core=core())


def outputs(model, images) -> np.ndarray:
    compiled = core().compile_model(model, "CPU", F32)
    return np.concatenate([compiled([image[None].numpy()])[0] for image in images])


def expected(module, images) -> np.ndarray:
    with torch.no_grad():
        return module(images).numpy()


def test_all_files_exist(exported):
    assert {kind: path.name for kind, path in exported.files.items()} == {
        "ir": "model.xml",
        "onnx": "model.onnx",
        "weights": "weights.safetensors",
    }
    found = {path.name for path in exported.files["ir"].parent.iterdir()}
    assert found == {"model.xml", "model.bin", "model.onnx", "weights.safetensors"}


def test_onnx_computes_the_same_by_openvino(exported, module, tiny_images):
    found = outputs(core().read_model(exported.files["onnx"]), tiny_images)
    np.testing.assert_allclose(found, expected(module, tiny_images), atol=1e-3)


def test_weights_reload(exported, module):
    state, found = module.state_dict(), load_file(exported.files["weights"])
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())


def test_ir_is_the_returned_model_and_near_the_module(exported, module, tiny_images):
    found = outputs(exported.model, tiny_images)
    np.testing.assert_array_equal(found, outputs(core().read_model(exported.files["ir"]), tiny_images))
    wanted = expected(module, tiny_images)
    assert not np.array_equal(found, wanted)
    assert np.abs(found - wanted).mean() < 0.1 * np.abs(wanted).mean() + 0.1 * wanted.std()


@pytest.mark.skipif(not has_vnni(read_machine()), reason="this CPU has no VNNI, so INT8 need not be executed")
def test_every_layer_is_executed_in_int8(exported):
    layers = [
        k for k in read_kernels(core().compile_model(exported.model, "CPU", F32)) if k.kernel.in_per_group
    ]
    convolutions = [k.exec_type for k in layers if k.kernel.kind == "Convolution"]
    assert len(convolutions) >= 3
    assert [t for t in convolutions if not t.endswith("I8")] == []
    assert [k.exec_type for k in layers if not k.exec_type.endswith("I8")] == []


def test_a_wrong_onnx_is_an_error(module, tiny_images, tmp_path, monkeypatch):
    def other(module, example, path):
        torch.manual_seed(0)
        REAL(nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 5)).eval(), example, path)

    monkeypatch.setattr(export, "_export_onnx", other)
    with pytest.raises(OvnasError, match="computes something else"):
        export_model(module, tiny_images[:1], tiny_images, tmp_path, core=core())
    assert not (tmp_path / "model.xml").exists()


REAL = export._export_onnx


def test_tied_weights_are_written_under_every_name(tiny_images, tmp_path):
    conv = nn.Conv2d(3, 3, 3, padding=1)
    tied = nn.Sequential(conv, nn.ReLU(), conv, nn.Flatten(), nn.Linear(3 * 12 * 12, 5)).eval()
    files = export_model(tied, tiny_images[:1], tiny_images, tmp_path, core=core()).files
    found = load_file(files["weights"])
    assert found.keys() == tied.state_dict().keys()
    assert torch.equal(found["0.weight"], found["2.weight"])
