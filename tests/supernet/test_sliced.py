from __future__ import annotations

from collections import Counter

import numpy as np
import openvino as ov
import pytest
import torch
from torch import nn

import supernet
from supernet import SpaceSection, quantize, to_openvino
from supernet.models.mobilenet import MobileNetV2
from supernet.models.resnet import BasicBlock, ResNet
from supernet.sliced import SlicedGraphs

CONFIG = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}


def kernels(model: ov.Model, *, without=("Const", "Input", "Output")) -> Counter:
    """What the CPU plug-in runs: layer type, implementation, precision and shapes, with their number."""
    runtime = ov.Core().compile_model(model, "CPU", CONFIG).get_runtime_model()
    found: Counter = Counter()
    for node in runtime.get_ordered_ops():
        facts = {key: str(node.get_rt_info()[key].value) for key in ("layerType", "primitiveType")}
        if facts["layerType"] not in without:
            shapes = [tuple(v.get_node().output(v.get_index()).shape) for v in node.input_values()]
            outputs = [tuple(o.shape) for o in node.outputs()]
            found[(*facts.values(), str(shapes), str(outputs))] += 1
    return found


@pytest.fixture(scope="module", params=["tiny", "mobilenet"])
def sliced(request, tiny_network, zoo, randomise, tiny_images):
    images = tiny_images[:, :, :8, :8].contiguous()
    if request.param == "tiny":
        network = tiny_network
    else:
        network = supernet.generate(randomise(zoo["mobilenet"]()), images[:1], SpaceSection(divisor=4))
    return network, images, SlicedGraphs(network, images[:1], images[:4])


def some(space, n, seed=0):
    rng = np.random.default_rng(seed)
    return [space.largest, space.smallest, *(space.sample(rng) for _ in range(n))]


@pytest.mark.slow
def test_sliced_graph_runs_the_kernels_of_the_slow_road(sliced):
    network, images, graphs = sliced
    for architecture in some(network.space, 2):
        slow = quantize(to_openvino(network.extract(architecture), images[:1]), images[:4], fast=True)
        expected = kernels(slow)
        assert kernels(graphs.model(architecture)) == expected, str(architecture)
        assert sum(n for kernel, n in expected.items() if kernel[0] == "Convolution") >= 4


def test_sliced_weights_have_the_extracted_shapes(sliced):
    """Every convolution's weights, found by the layer's name, whatever the CPU makes of them."""
    network, _, graphs = sliced
    for architecture in some(network.space, 8, seed=1):
        state = network.extract(architecture).state_dict()
        found = {}
        for node in graphs.model(architecture).get_ordered_ops():
            layer = graphs.layer_of_node.get(node.get_friendly_name())
            if layer is not None:
                found[layer] = int(np.prod(node.input_value(1).get_shape()))
        expected = {
            n: state[f"{n}.weight"].numel() for n in graphs.layer_of_node.values() if f"{n}.weight" in state
        }
        assert found == expected


def test_every_sliced_graph_infers(sliced):
    network, images, graphs = sliced
    for architecture in some(network.space, 4, seed=2):
        output = ov.Core().compile_model(graphs.model(architecture), "CPU", CONFIG)(images[:1].numpy())[0]
        assert output.shape == (1, 5)
        assert np.isfinite(output).all()


def test_the_largest_slice_is_the_quantised_maximal_network(sliced):
    network, images, graphs = sliced
    compile_model = ov.Core().compile_model
    whole = compile_model(graphs.maximal, "CPU", CONFIG)(images[:1].numpy())[0]
    part = compile_model(graphs.model(network.space.largest), "CPU", CONFIG)(images[:1].numpy())[0]
    np.testing.assert_array_equal(whole, part)


def test_slicing_changes_neither_the_maximal_graph_nor_the_network(sliced):
    network, images, graphs = sliced
    before = [tuple(node.output(0).shape) for node in graphs.maximal.get_ordered_ops() if node.outputs()]
    with torch.no_grad():
        output = network(images)
        graphs.model(network.space.smallest)
        assert torch.equal(network(images), output)
    assert before == [tuple(n.output(0).shape) for n in graphs.maximal.get_ordered_ops() if n.outputs()]


def test_nodes_of_a_block_are_those_that_vanish(sliced):
    """`blocks` against brute force: what is left of the graph when a run keeps fewer blocks."""
    network, _, graphs = sliced
    space = network.space
    for index, slot in enumerate(space.slots):
        if slot.kind != "depth":
            continue
        for code, kept in enumerate(slot.choices):
            codes = [len(s.choices) - 1 for s in space.slots]
            codes[index] = code
            left = {n.get_friendly_name() for n in graphs.model(space.decode(codes)).get_ordered_ops()}
            for name, block in graphs.blocks.items():
                if block.slot == index and block.position >= kept:
                    assert name not in left
            layers = {graphs.layer_of_node[name] for name in left if name in graphs.layer_of_node}
            dead = {
                y.name for y in space.layers if y.block and y.block.slot == index and y.block.position >= kept
            }
            assert layers == {layer.name for layer in space.layers} - dead


def test_channels_that_are_split_are_sliced(lambda_model, randomise, tiny_images):
    model = lambda_model(
        lambda self, x: self.c(torch.relu(self.b(torch.cat(self.a(x).chunk(2, 1)[::-1], 1)))),
        **{"a": nn.Conv2d(3, 16, 3), "b": nn.Conv2d(16, 16, 3), "c": nn.Conv2d(16, 8, 1)},
    )
    network = supernet.generate(randomise(model), tiny_images[:1], SpaceSection(divisor=4))
    graph = SlicedGraphs(network, tiny_images[:1], tiny_images[:4]).model(network.space.smallest)
    shapes = {
        n.get_friendly_name().split("/")[0]: tuple(n.output(0).shape)
        for n in graph.get_ordered_ops()
        if n.get_type_name() == "Convolution"
    }
    assert shapes == {
        "__module.a": (1, 8, 10, 10),
        "__module.b": (1, 4, 8, 8),
        "__module.c": (1, 8, 8, 8),
    }


def test_a_dropped_run_leaves_one_quantiser_in_a_row(randomise):
    """Behind a max-pooling, whose input is quantised already, and directly behind an activation."""
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for model in (
        ResNet(BasicBlock, (1, 2), widths=(16, 24), n_classes=5),
        MobileNetV2(((1, 8, 1, 1), (6, 8, 2, 1)), stem=8, last=16, n_classes=5),
    ):
        network = supernet.generate(randomise(model), images[:1], SpaceSection(divisor=4))
        graphs = SlicedGraphs(network, images[:1], images)
        for node in graphs.model(network.space.smallest).get_ordered_ops():
            if node.get_type_name() != "FakeQuantize" or node.get_friendly_name() not in graphs.outputs:
                continue
            source = node.input_value(0).get_node()
            while source.get_type_name() == "MaxPool":
                source = source.input_value(0).get_node()
            assert source.get_type_name() != "FakeQuantize"
            if source.get_type_name() in ("Relu", "Clamp"):
                assert float(node.input_value(1).get_node().data.min()) == 0


@pytest.mark.parametrize(
    "name", ["mobilenet_v3", "efficientnet", "shufflenet_v2", "inception", "unet", "regnet", "dual_path"]
)
def test_families_slice_to_the_extracted_shapes(name, randomise):
    """Elastic kernels, splits and shuffles, normalisations of groups, transposed convolutions."""
    from tests.supernet.families import FAMILIES

    family = FAMILIES[name]
    images = torch.randn(4, *family.shape[1:], generator=torch.Generator().manual_seed(0))
    network = supernet.generate(randomise(family.make()), images[:1], family.section)
    graphs = SlicedGraphs(network, images[:1], images)
    for architecture in some(network.space, 3)[1:]:
        module = network.extract(architecture)
        state = module.state_dict()
        model = graphs.model(architecture)
        found = {
            graphs.layer_of_node[node.get_friendly_name()]: int(np.prod(node.input_value(1).get_shape()))
            for node in model.get_ordered_ops()
            if node.get_friendly_name() in graphs.layer_of_node
        }
        assert found == {n: state[f"{n}.weight"].numel() for n in found}
        assert found.keys() == {
            str(n.target)
            for n in module.graph.nodes
            if f"{n.target}.weight" in state
            and (isinstance(module.get_submodule(str(n.target)), (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)))
        }
        with torch.no_grad():
            expected = module(images[:1])
        expected = expected if isinstance(expected, tuple) else (expected,)
        compiled = ov.Core().compile_model(model, "CPU", CONFIG)
        actual = compiled(images[:1].numpy())
        assert [tuple(actual[i].shape) for i in range(len(expected))] == [tuple(e.shape) for e in expected]


@pytest.mark.parametrize("name", ["shared_layer", "shared_block", "pre_activation", "opaque"])
def test_what_follows_a_layer_does_not_take_its_name(name, zoo, randomise, tiny_images):
    """A BatchNorm that is not folded, a scale, a layer that was not traced."""
    network = supernet.generate(randomise(zoo[name]()), tiny_images[:1], SpaceSection(divisor=4))
    graphs = SlicedGraphs(network, tiny_images[:1], tiny_images)
    assert set(graphs.layer_of_node.values()) == {layer.name for layer in network.space.layers}
    image = tiny_images[:1]
    for architecture in some(network.space, 2):
        output = ov.Core().compile_model(graphs.model(architecture), "CPU", CONFIG)(image.numpy())[0]
        assert output.shape == tuple(network.extract(architecture)(image).shape)
