from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

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
from supernet import Architecture, OvnasError

F32 = {"INFERENCE_PRECISION_HINT": "f32"}


@pytest.fixture(scope="module")
def module(tiny_network):
    space = tiny_network.space
    codes = [min(1, len(slot.choices) - 1) for slot in space.slots]
    return tiny_network.extract(space.decode(codes))


@pytest.fixture(scope="module")
def exported(module, tiny_images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "deep" / "01"
    return export_model(module, tiny_images[:1], tiny_images, folder, core=core(), architecture="w8-16_d1-1")


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
        "architecture": "architecture.txt",
    }
    found = {path.name for path in exported.files["ir"].parent.iterdir()}
    assert found == {"model.xml", "model.bin", "model.onnx", "weights.safetensors", "architecture.txt"}
    assert str(Architecture.parse(exported.files["architecture"].read_text())) == "w8-16_d1-1"


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
    def other(module, example, path, n_outputs):
        torch.manual_seed(0)
        REAL(nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 5)).eval(), example, path, n_outputs)

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


TOOL = next(filter(Path.is_file, [Path(sys.executable).with_name("benchmark_app")]), None) or shutil.which(
    "benchmark_app"
)


@pytest.mark.skipif(TOOL is None, reason="OpenVINO's benchmark_app is not installed")
def test_benchmark_app_runs_on_the_ir_as_it_is(exported):
    command = [str(TOOL), "-m", str(exported.files["ir"]), "-t", "1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert float(re.search(r"Throughput: +([\d.]+) FPS", result.stdout)[1]) > 0
    assert re.search(r"Model batch size: 1\b", result.stdout)


def test_onnx_is_checked_by_openvino_where_there_is_no_onnxruntime(
    monkeypatch, module, tiny_images, tmp_path
):
    monkeypatch.setattr(export.util, "find_spec", lambda name: None)
    found = export_model(module, tiny_images[:1], tiny_images, tmp_path, core=core())
    assert found.onnx_checked_by.startswith("OpenVINO 20")
    assert "architecture" not in found.files


@pytest.mark.parametrize("is_wrong", [False, True])
def test_onnx_is_checked_by_onnxruntime_where_it_is_installed(
    monkeypatch, module, tiny_images, tmp_path, is_wrong
):
    """A stand-in with onnxruntime's interface: the real one is no dependency."""

    class InferenceSession:
        def __init__(self, path: str, providers: list[str]) -> None:
            assert providers == ["CPUExecutionProvider"]
            assert Path(path).is_file()

        def get_inputs(self):
            return [SimpleNamespace(name="input")]

        def run(self, names, feed):
            assert (names, list(feed)) == (None, ["input"])
            return [expected(module, torch.from_numpy(feed["input"])) + is_wrong]

    stand_in = ModuleType("onnxruntime")
    stand_in.InferenceSession = InferenceSession
    monkeypatch.setitem(sys.modules, "onnxruntime", stand_in)
    monkeypatch.setattr(export, "onnx_checker", lambda: "onnxruntime 1.20.0")
    if is_wrong:
        with pytest.raises(OvnasError, match=r"computes something else .*by onnxruntime 1\.20\.0"):
            export_model(module, tiny_images[:1], tiny_images, tmp_path, core=core())
    else:
        found = export_model(module, tiny_images[:1], tiny_images, tmp_path, core=core())
        assert found.onnx_checked_by == "onnxruntime 1.20.0"


class Many(nn.Module):
    """Takes two tensors, or gives two of one."""

    def __init__(self, gives: str) -> None:
        super().__init__()
        self.conv, self.first, self.second = nn.Conv2d(3, 8, 3), nn.Linear(8, 5), nn.Linear(8, 2)
        self.gives = gives

    def forward(self, x):
        y = torch.relu(self.conv(x)).mean((2, 3))
        both = self.first(y), self.second(y)
        return both if self.gives == "tuple" else dict(zip("ab", both, strict=True))


class TwoInputs(Many):
    def forward(self, x, other):
        return self.first(torch.relu(self.conv(x) + self.conv(other)).mean((2, 3)))


def test_several_outputs_are_exported(tiny_images, tmp_path):
    module = Many("tuple").eval()
    found = export_model(module, tiny_images[:1], tiny_images, tmp_path, core=core())
    assert [list(output.shape) for output in found.model.outputs] == [[1, 5], [1, 2]]
    onnx = core().compile_model(core().read_model(found.files["onnx"]), "CPU", F32)
    results = onnx([tiny_images[:1].numpy()])
    for i, ours in enumerate(expected_all(module, tiny_images[:1])):
        theirs = results[i]
        np.testing.assert_allclose(theirs, ours, atol=1e-3)


def expected_all(module, images) -> list[np.ndarray]:
    with torch.no_grad():
        return [value.numpy() for value in module(images)]


def test_a_second_output_that_differs_is_an_error(monkeypatch, tiny_images, tmp_path):
    right, wrong = Many("tuple").eval(), Many("tuple").eval()
    wrong.load_state_dict(right.state_dict() | {"second.bias": right.second.bias + 1})
    monkeypatch.setattr(export, "_export_onnx", lambda module, *rest: REAL(wrong, *rest))
    with pytest.raises(OvnasError, match="computes something else"):
        export_model(right, tiny_images[:1], tiny_images, tmp_path, core=core())


def test_what_cannot_be_exported_is_said(tiny_images, tmp_path):
    for module, message in (
        (TwoInputs("tuple"), r"takes 2 \(x, other\); wrap it"),
        (Many("dict"), "gives dict; wrap it"),
    ):
        with pytest.raises(OvnasError, match=message):
            export_model(module.eval(), tiny_images[:1], tiny_images, tmp_path / "new", core=core())
    assert not (tmp_path / "new").exists()
