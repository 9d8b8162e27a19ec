from __future__ import annotations

from collections import Counter

import numpy as np
import openvino as ov
import pytest
import torch
from torch import nn

from supernet import OvnasError, quantize, to_openvino
from supernet.int8 import convert_with_taps, fold_batchnorm
from supernet.vnni import this_cpu_has_vnni

CONFIG = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}


def infer(model: ov.Model, *inputs: torch.Tensor) -> np.ndarray:
    return ov.Core().compile_model(model, "CPU", CONFIG)([x.numpy() for x in inputs])[0]


def test_openvino_s_output_is_torch_s(specimen, rng):
    network, inputs = specimen.network, specimen.inputs
    if specimen.name == "opaque":
        pytest.skip("the branch is data-dependent: OpenVINO traces one side of it")
    module = network.extract(network.space.sample(rng))
    model = to_openvino(module, inputs if len(inputs) > 1 else inputs[0])
    with torch.no_grad():
        expected = module(*inputs)
    expected = expected[0] if isinstance(expected, tuple) else expected
    np.testing.assert_allclose(infer(model, *inputs), expected.numpy(), rtol=0, atol=1e-4)
    assert all(port.partial_shape.is_static for port in [*model.inputs, *model.outputs])


def test_a_plain_module_is_converted_too(make_tiny_resnet, randomise, tiny_images):
    model = randomise(make_tiny_resnet())
    with torch.no_grad():
        expected = model(tiny_images).numpy()
    np.testing.assert_allclose(infer(to_openvino(model, tiny_images), tiny_images), expected, atol=1e-4)


def test_conversion_shares_no_weights(tiny_network, tiny_images):
    module = tiny_network.extract(tiny_network.space.largest)
    model = to_openvino(module, tiny_images[:1])
    before = infer(model, tiny_images[:1])
    with torch.no_grad():
        for value in [*module.parameters(), *module.buffers()]:
            value.fill_(3)
    np.testing.assert_array_equal(infer(model, tiny_images[:1]), before)


def test_conversion_does_not_change_the_module(tiny_network, tiny_images):
    module = tiny_network.extract(tiny_network.space.smallest)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    nodes = [node.name for node in module.graph.nodes]
    convert_with_taps(module, tiny_images[:1], [nodes[3]])
    assert [node.name for node in module.graph.nodes] == nodes
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


def test_taps_name_the_nodes_that_compute_them(tiny_network, tiny_images):
    module = tiny_network.extract(tiny_network.space.largest)
    blocks = [block for run in tiny_network.runs.values() for block in run]
    taps = sorted({name for block in blocks for name in (block.entry, block.exit)})
    model, names = convert_with_taps(module, tiny_images[:1], taps)
    assert len(model.outputs) == 1
    values = {}

    class Recorder(torch.fx.Interpreter):
        def run_node(self, n):
            values[n.name] = super().run_node(n)
            if n.name in taps:
                values[n.name] = values[n.name].clone()
            return values[n.name]

    with torch.no_grad():
        Recorder(fold_batchnorm(module)).run(tiny_images[:1])
    nodes = {node.get_friendly_name(): node for node in model.get_ordered_ops()}
    for tap in taps:
        part = ov.Model([nodes[names[tap]].output(0)], model.get_parameters(), "part")
        np.testing.assert_allclose(infer(part, tiny_images[:1]), values[tap].numpy(), rtol=0, atol=1e-4)


def test_folding_keeps_the_function_and_the_names(specimen):
    module = specimen.network.extract(specimen.network.space.smallest)
    folded = fold_batchnorm(module)
    with torch.no_grad():
        torch.testing.assert_close(folded(*specimen.inputs), module(*specimen.inputs), rtol=0, atol=1e-4)
    calls = [node.target for node in module.graph.nodes if node.op == "call_module"]
    left = [node.target for node in folded.graph.nodes if node.op == "call_module"]
    gone = [target for target in calls if target not in left]
    assert all(isinstance(module.get_submodule(t), nn.modules.batchnorm._BatchNorm) for t in gone)


@pytest.fixture(scope="module")
def quantised(tiny_network, tiny_images):
    module = tiny_network.extract(tiny_network.space.largest)
    return to_openvino(module, tiny_images[:1]), quantize(to_openvino(module, tiny_images[:1]), tiny_images)


def test_quantised_output_is_near_the_original_s(quantised, tiny_images):
    plain, int8 = quantised
    a = np.concatenate([infer(plain, x[None]) for x in tiny_images])
    b = np.concatenate([infer(int8, x[None]) for x in tiny_images])
    noise = ((a - b) ** 2).mean() / a.var()
    assert 0 < noise < 0.05


@pytest.mark.skipif(not this_cpu_has_vnni(), reason="this CPU has neither AVX512-VNNI nor AVX-VNNI")
def test_convolutions_run_in_int8(quantised):
    runtime = ov.Core().compile_model(quantised[1], "CPU", CONFIG).get_runtime_model()
    kinds = [
        str(node.get_rt_info()["primitiveType"].value)
        for node in runtime.get_ordered_ops()
        if str(node.get_rt_info()["layerType"].value) == "Convolution"
    ]
    assert len(kinds) == 10
    assert [kind for kind in kinds if not kind.endswith("_I8")] == []


def test_fast_quantisation_has_the_same_graph(quantised, tiny_network, tiny_images):
    plain = to_openvino(tiny_network.extract(tiny_network.space.largest), tiny_images[:1])
    fast = quantize(plain, list(tiny_images), fast=True)

    def operations(model):
        shapes = [
            (n.get_type_name(), str([tuple(o.shape) for o in n.outputs()])) for n in model.get_ordered_ops()
        ]
        return Counter(shapes)

    assert operations(quantised[1]) == operations(fast)


def test_quantisation_needs_a_whole_batch(tiny_network, tiny_images, capsys):
    model = to_openvino(tiny_network.extract(tiny_network.space.smallest), tiny_images[:4])
    with pytest.raises(OvnasError, match=r"at least 4 sample\(s\), but got 3"):
        quantize(model, tiny_images[:3])
    assert capsys.readouterr().out == ""


def test_quantisation_keeps_the_standard_output_clean(tiny_network, tiny_images, capfd):
    model = to_openvino(tiny_network.extract(tiny_network.space.smallest), tiny_images[:4])
    assert quantize(model, tiny_images, fast=True).inputs[0].shape[0] == 4
    assert capfd.readouterr().out == ""


def test_what_cannot_be_converted_is_said(tiny_images):
    class Broken(nn.Module):
        def forward(self, x):
            return torch.linalg.eig(x)[0].real

    with pytest.raises(OvnasError, match="OpenVINO cannot convert"):
        to_openvino(Broken(), tiny_images[:1])


def test_a_kernel_of_the_map_s_own_size_converts(lambda_model):
    model = lambda_model(
        lambda s, x: torch.nn.functional.avg_pool2d(s.a(x), x.size()[2:]), a=nn.Conv2d(3, 4, 1)
    )
    x = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        np.testing.assert_allclose(infer(to_openvino(model, x), x), model(x).numpy(), rtol=0, atol=1e-5)


class Halved(nn.Conv2d):
    """Computes something else with its weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) / 2


@pytest.mark.parametrize("kind", ["hooked", "its own"])
def test_only_plain_layers_are_folded(kind, randomise):
    conv = Halved(3, 8, 3) if kind == "its own" else nn.Conv2d(3, 8, 3)
    if kind == "hooked":
        conv.register_forward_hook(lambda module, inputs, output: output.clamp(0, 1))
    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    graph.output(graph.call_module("norm", (graph.call_module("conv", (x,)),)))
    layers = nn.ModuleDict({"conv": conv, "norm": nn.BatchNorm2d(8)})
    module = torch.fx.GraphModule(randomise(layers).eval(), graph)
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(fold_batchnorm(module)(images), module(images))


def test_a_normalisation_that_is_called_by_keyword_is_folded(randomise):
    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    graph.output(graph.call_module("norm", (), {"input": graph.call_module("conv", (x,))}))
    layers = nn.ModuleDict({"conv": nn.Conv2d(3, 8, 3), "norm": nn.BatchNorm2d(8)})
    module = torch.fx.GraphModule(randomise(layers).eval(), graph)
    folded, images = fold_batchnorm(module), torch.randn(2, 3, 8, 8)
    assert [str(node.target) for node in folded.graph.nodes if node.op == "call_module"] == ["conv"]
    with torch.no_grad():
        torch.testing.assert_close(folded(images), module(images), atol=1e-5, rtol=1e-4)


def test_weights_are_as_short_as_this_cpu_needs(make_tiny_resnet, randomise, tiny_images):
    model = to_openvino(randomise(make_tiny_resnet()), tiny_images[:1])
    usual = infer(quantize(model, tiny_images), tiny_images[:1])
    expected = infer(quantize(model, tiny_images, half_range=not this_cpu_has_vnni()), tiny_images[:1])
    np.testing.assert_array_equal(usual, expected)
