from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from predictor.conformal import by_study, out_of_fold
from predictor.foreign import (
    EXTRAPOLATED,
    ROOFLINE,
    KnownKernels,
    family_of,
    predict_kernels,
    read_network,
)
from predictor.registry import make_predictor
from predictor.roofline import MIN_US, Peak, roofline_us
from predictor.saved import load, save
from profiling.kernel import Kernel, read_kernels
from profiling.target import compile_model
from supernet import OvnasError

CONVOLUTION = Kernel("Convolution", 1, 16, 6, 6, 16, 6, 6, 3, 3, 16, 1, 1, "u8", "u8")


def saved_as(kind: str, data, folder, **changes: object):
    predictor = data.fit(make_predictor(kind), data.train)
    residuals = by_study(out_of_fold(predictor, data.train), data.train)
    facts = {**data.meta, "anchor_us": data.anchor_us, "seed": 0, **changes}
    save(kind, predictor, data.plans, data.train, facts, folder / kind, residuals=residuals)
    return load(folder / kind)


@pytest.fixture(scope="module")
def saved(data, tmp_path_factory):
    return saved_as("lookup", data, tmp_path_factory.mktemp("saved"))


def names(kernels) -> list[str]:
    return [f"k{i}" for i in range(len(kernels))]


def predict(saved, kernels):
    return predict_kernels(saved, kernels, names(kernels), ["jit"] * len(kernels))


def test_a_member_of_the_space_costs_what_the_predictor_says(saved, data):
    for example in data.train[:5]:
        found = predict(saved, example.network.kernels)
        (expected,) = saved.predict_networks([example.network])
        assert found.latency_us == pytest.approx(expected)
        assert {c.source for c in found.costs} == {"predicted"}
        low, high = saved.interval(np.array([expected]))
        assert (found.low_us, found.high_us) == pytest.approx((low[0], high[0]))
        assert not found.is_calibrated
        kernels = example.network.kernels
        member = predict_kernels(saved, kernels, names(kernels), ["jit"] * len(kernels), study=example.study)
        assert member.is_calibrated
        assert member.high_us == found.high_us  # nothing was held out here


def test_costs_and_the_fixed_cost_sum_to_the_whole(saved, data):
    kernels = [
        *data.train[0].network.kernels,
        Kernel("Softmax", 1, 5, 1, 1, 5, 1, 1, 1, 1, 0, 1, 1, "f32", "f32"),
    ]
    found = predict(saved, kernels)
    assert sum(c.latency_us for c in found.costs) + found.overhead_us == pytest.approx(found.latency_us)


def test_an_unknown_kind_costs_its_roofline_and_widens_the_interval(saved, data):
    kernels = list(data.train[0].network.kernels)
    before = predict(saved, kernels)
    strange = Kernel("NonMaxSuppression", 1, 64, 80, 80, 64, 80, 80, 1, 1, 0, 1, 1, "f32", "f32")
    after = predict(saved, [*kernels, strange])
    (bound,) = roofline_us([strange], Peak.of(saved.card))
    assert Peak.of(saved.card).is_measured
    own = after.costs[-1]
    assert (own.source, own.latency_us) == ("roofline", bound)
    assert own.reason == "no NonMaxSuppression on f32 was learned from"
    assert after.latency_us == pytest.approx(before.latency_us + bound)
    assert after.low_us == pytest.approx(before.low_us + MIN_US)  # what it moves may lie in a cache
    assert bound > MIN_US
    assert after.high_us == pytest.approx(before.high_us + ROOFLINE * bound)


def test_without_a_measured_peak_the_bound_may_be_too_high_as_well(data, tmp_path):
    saved = saved_as("macs", data, tmp_path, peak=None)
    strange = Kernel("NonMaxSuppression", 1, 64, 80, 80, 64, 80, 80, 1, 1, 0, 1, 1, "f32", "f32")
    kernels = list(data.train[0].network.kernels)
    before, after = predict(saved, kernels), predict(saved, [*kernels, strange])
    assert after.part_us("roofline") > MIN_US
    assert after.low_us == pytest.approx(before.low_us + MIN_US / ROOFLINE)


def test_a_kernel_out_of_range_is_named_with_the_feature_that_is_farthest_out(saved, data):
    kernels = list(data.train[0].network.kernels)
    first = next(i for i, k in enumerate(kernels) if k.kind == "Convolution")
    huge = dataclasses.replace(kernels[first], in_height=500, in_width=500, out_height=500, out_width=500)
    found = predict(saved, [*kernels[:first], huge, *kernels[first + 1 :]])
    own = found.costs[first]
    assert own.source == "extrapolated"
    assert "is outside of" in own.reason
    rest = found.latency_us - own.latency_us
    low, high = (end[0] for end in saved.interval(np.array([1.0])))
    assert found.low_us == pytest.approx(low * (rest + own.latency_us / EXTRAPOLATED))
    assert found.high_us == pytest.approx(high * (rest + own.latency_us * EXTRAPOLATED))
    assert math.isfinite(found.high_us)


def test_families_part_what_computes_in_another_way():
    depthwise = dataclasses.replace(CONVOLUTION, in_per_group=1)
    grouped = dataclasses.replace(CONVOLUTION, in_per_group=4)
    f32 = dataclasses.replace(CONVOLUTION, in_precision="f32")
    signed = dataclasses.replace(CONVOLUTION, in_precision="i8")
    assert [family_of(k) for k in (CONVOLUTION, depthwise, grouped, f32, signed)] == [
        "Convolution on INT8", "depthwise Convolution on INT8", "grouped Convolution on INT8",
        "Convolution on f32", "Convolution on INT8",
    ]  # fmt: skip


def test_ranges_are_those_of_the_family(data):
    wide = dataclasses.replace(CONVOLUTION, out_channels=64)
    known = KnownKernels.of(
        [CONVOLUTION, wide, dataclasses.replace(CONVOLUTION, kind="Pooling")], data.conditions
    )
    assert known.judge(wide, data.conditions) == ("predicted", "")
    wider = dataclasses.replace(CONVOLUTION, out_channels=128)
    source, reason = known.judge(wider, data.conditions)
    assert source == "extrapolated"
    assert reason
    assert known.judge(dataclasses.replace(wide, kind="Pooling"), data.conditions)[0] == "extrapolated"


def test_a_predictor_without_kernels_is_refused(data, tmp_path):
    saved = saved_as("ridge", data, tmp_path)
    with pytest.raises(OvnasError, match="predictor 'ridge' knows the architectures of its own space alone"):
        predict(saved, data.train[0].network.kernels)


@pytest.fixture(scope="module")
def files(tiny_graphs, tmp_path_factory):
    """The small residual network's largest architecture in INT8, as IR; other files beside it."""
    import openvino as ov

    folder = tmp_path_factory.mktemp("models")
    ov.save_model(tiny_graphs.model(tiny_graphs.space.largest), folder / "int8.xml", compress_to_fp16=False)
    return folder


def test_the_kernels_are_those_that_would_be_executed(files, tiny_graphs, known):
    found = read_network(files / "int8.xml", known.target)
    expected = read_kernels(compile_model(tiny_graphs.model(tiny_graphs.space.largest), known.target))
    assert [(e.kernel, e.exec_type) for e in found] == [(e.kernel, e.exec_type) for e in expected]


def onnx_file(path, shape, *, op: str = "Relu"):
    import onnx
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT if op == "Relu" else TensorProto.INT64, None)
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_an_onnx_file_is_read(tmp_path, known):
    (kernel,) = [e.kernel for e in read_network(onnx_file(tmp_path / "m.onnx", [1, 3, 8, 8]), known.target)][
        :1
    ]
    assert (kernel.in_channels, kernel.in_height, kernel.in_precision) == (3, 8, "f32")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dynamic.onnx", r"input 'x' of the dynamic shape .*; fix it first: model\.reshape"),
        ("inside.onnx", "the shape behind .* depends on the data"),
        ("none.onnx", "there is no model at"),
        ("model.pth", r"takes a file that ends in \.xml or \.onnx"),
        ("text.onnx", "is damaged, or not a model in ONNX"),
        ("empty.onnx", "is damaged, or not a model in ONNX"),
        ("text.xml", "is damaged, or not a model in OpenVINO's IR"),
        ("other.xml", "is damaged, or not a model in OpenVINO's IR"),
        ("alone.xml", r"needs its weights beside it: .*alone\.bin is missing"),
        ("cut.xml", "is not a model that OpenVINO reads"),
    ],
)
def test_what_is_no_static_model_is_refused_in_one_line(tmp_path, known, files, name, message):
    onnx_file(tmp_path / "dynamic.onnx", [None, 3, 8, 8])
    onnx_file(tmp_path / "inside.onnx", [1, 8], op="NonZero")
    for text in ("text.onnx", "text.xml"):
        (tmp_path / text).write_text("hello")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "other.xml").write_text("<html><body/></html>")
    whole = (files / "int8.xml").read_text()
    (tmp_path / "alone.xml").write_text(whole)
    (tmp_path / "cut.xml").write_text(whole[: len(whole) // 2])
    for stem in ("text", "other", "cut"):
        (tmp_path / f"{stem}.bin").write_bytes((files / "int8.bin").read_bytes())
    with pytest.raises(OvnasError, match=message) as caught:
        read_network(tmp_path / name, known.target)
    assert "\n" not in str(caught.value)
