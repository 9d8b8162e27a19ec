from __future__ import annotations

import contextlib
import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from predictor import predict, train
from predictor.saved import load


@pytest.fixture(scope="module")
def options(measurements, write_study, tmp_path_factory):
    """A study with a trained lookup predictor."""
    import shutil

    home = tmp_path_factory.mktemp("predict")
    path = home / "runs" / "tiny" / "profiling" / "measurements.sqlite"
    path.parent.mkdir(parents=True)
    shutil.copy(measurements, path)
    own = ["--study", str(write_study(home, data="none")), "--runs-dir", str(home / "runs")]
    with contextlib.redirect_stdout(io.StringIO()):
        assert train.main([*own, "--predictor", "lookup"]) == 0
    return own, home / "runs" / "tiny" / "predictor" / "lookup"


def run(options, *arguments: object) -> dict:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert predict.main([*options, "--predictor", "lookup", *map(str, arguments), "--json"]) == 0
    return json.loads(out.getvalue())


def test_a_member_of_the_space(options, known):
    own, folder = options
    saved = load(folder)
    architecture = known.architectures(30)[-1]
    value = run(own, "--architecture", architecture)
    latency = saved.predict([architecture])
    assert value["latency_us"] == pytest.approx(latency[0])
    parts = value["overhead_us"] + sum(k["latency_us"] for k in value["kernels"])
    assert parts == pytest.approx(latency[0])
    assert value["network"] == str(architecture)
    layers = {planned.layer for planned in known.plan.kernels}
    assert {k["layer"] for k in value["kernels"]} <= layers
    assert len(value["kernels"]) == len(known.plan.of(architecture))


@pytest.mark.parametrize("quantised", [True, False])
def test_a_model_file(options, tiny_graphs, known, tmp_path, quantised, tiny_network, tiny_images, capsys):
    """An INT8 member given as a file costs the same as by its architecture; an f32 one is warned of."""
    import openvino as ov

    import supernet

    own, _ = options
    largest = known.plan.space.largest
    model = tiny_graphs.model(largest)
    if not quantised:
        model = supernet.to_openvino(tiny_network.extract(largest), tiny_images[:1])
    ov.save_model(model, tmp_path / "m.xml", compress_to_fp16=False)
    value = run(own, "--model", tmp_path / "m.xml")
    low, high = value["interval_us"]
    assert low <= value["latency_us"] <= high
    if quantised:
        by_name = run(own, "--architecture", largest)
        assert value["latency_us"] == pytest.approx(by_name["latency_us"])
        assert value["warnings"] == []
    else:
        assert value["warnings"][0].startswith("no kernel of this model computes in INT8")
        assert any("Convolution on f32 was learned from" in line for line in value["warnings"])
        unknown = [k for k in value["kernels"] if k["source"] == "roofline"]
        assert unknown
        assert all(k["latency_us"] > 0 for k in unknown)
        assert predict.main([*own, "--predictor", "lookup", "--model", str(tmp_path / "m.xml")]) == 0
        out = capsys.readouterr().out
        assert "note: no kernel of this model computes in INT8" in out


def write_qdq(path: Path, channels: tuple[int, ...] = (8, 16, 16)) -> Path:
    """An ONNX file of 3x3 convolutions with ReLU, quantised as ONNX writes it: u8 activations of one scale,
    i8 weights of one scale an output channel."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, constants, values = [], [], "x"

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    def quantised(name: str, place: str) -> str:
        pair = [constant(f"{place}_scale", np.float32(0.02)), constant(f"{place}_zero", np.uint8(0))]
        nodes.append(helper.make_node("QuantizeLinear", [name, *pair], [f"{place}_q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{place}_q", *pair], [f"{place}_dq"]))
        return f"{place}_dq"

    for i, (n_in, n_out) in enumerate(itertools.pairwise(channels)):
        values = quantised(values, f"a{i}")
        weights = [
            constant(f"w{i}", rng.integers(-127, 128, (n_out, n_in, 3, 3), dtype=np.int8)),
            constant(f"w{i}_scale", rng.uniform(1e-3, 2e-3, n_out).astype(np.float32)),
            constant(f"w{i}_zero", np.zeros(n_out, np.int8)),
        ]
        nodes.append(helper.make_node("DequantizeLinear", weights, [f"w{i}_dq"], axis=0))
        nodes.append(helper.make_node("Conv", [values, f"w{i}_dq"], [f"c{i}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        values = f"r{i}"
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, n, 12, 12])
        for name, n in (("x", channels[0]), (values, channels[-1]))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def test_a_quantised_onnx_file_is_int8(options, tmp_path, capsys):
    own, _ = options
    model = write_qdq(tmp_path / "m.onnx")
    value = run(own, "--model", model)
    convolutions = [k for k in value["kernels"] if k["kind"] == "Convolution"]
    assert [(k["input"][1], k["output"][1], k["window"]) for k in convolutions] == [
        (8, 16, [3, 3]), (16, 16, [3, 3])
    ]  # fmt: skip
    assert not value["is_calibrated"]
    if not all(k["exec_type"].endswith("I8") for k in convolutions):
        pytest.skip("this CPU executes no INT8")
    assert {k["precision"][0] for k in convolutions} <= {"u8", "i8"}
    assert not [
        line for line in value["warnings"] if "computes in INT8" in line or "Convolution on f32" in line
    ]
    capsys.readouterr()
    assert predict.main([*own, "--predictor", "lookup", "--model", str(model)]) == 0
    out = capsys.readouterr().out
    assert " ms with 1 thread(s), batch 1, latency mode; range " in out


def test_only_a_member_of_the_space_has_an_interval(options, known, capsys):
    own, folder = options
    architecture = str(known.architectures(30)[-1])
    assert run(own, "--architecture", architecture)["is_calibrated"]
    for residuals, text in (([0.1] * 9, "; 90% interval "), ([0.1] * 8, "; no interval: too few networks")):
        card = folder / "card.json"
        before = card.read_text()
        card.write_text(json.dumps(json.loads(before) | {"residuals": {"tiny": residuals}}))
        try:
            assert predict.main([*own, "--predictor", "lookup", "--architecture", architecture]) == 0
            assert text in capsys.readouterr().out
        finally:
            card.write_text(before)


def test_the_target_of_the_study_must_be_the_predictors(options, write_study, tmp_path, capsys):
    _, folder = options
    other = ["--study", str(write_study(tmp_path, data="none", target="batch = 2"))]
    other += ["--runs-dir", str(folder.parents[2]), "--predictor", "lookup", "--architecture", "w1-2_d9"]
    assert predict.main(other) == 2
    assert "'batch': 1" in (err := capsys.readouterr().err)
    assert "'batch': 2" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "none.xml"], "there is no model at none.xml"),
        (["--architecture", "hello"], "an architecture reads like"),
        (["--architecture", "w1-2_d9"], ""),
        (["--model", "none.xml", "--predictor", "xgb"], "make it with python -m predictor.train"),
    ],
)
def test_errors_are_one_line(options, capsys, arguments, message):
    own, _ = options
    assert predict.main([*own, "--predictor", "lookup", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def test_one_of_model_and_architecture_is_needed(capsys):
    with pytest.raises(SystemExit) as stopped:
        predict.main([])
    assert stopped.value.code == 2
    assert "--model --architecture" in capsys.readouterr().err
