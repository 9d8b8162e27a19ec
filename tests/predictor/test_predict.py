from __future__ import annotations

import contextlib
import io
import json

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
