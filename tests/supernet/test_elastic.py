from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import supernet
from supernet import Architecture, OvnasError, SpaceSection


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


def some(space, rng, n=10):
    return [space.largest, space.smallest, *(space.sample(rng) for _ in range(n))]


def counted_macs(module, inputs):
    """Multiply-accumulates an image, by hooks on what really runs."""
    total = 0

    def count(layer, _, output):
        nonlocal total
        total += output.numel() // output.shape[0] * layer.weight[0].numel()

    kinds = (nn.Conv1d, nn.Conv2d, nn.Linear)
    layers = [m for name, m in module.named_modules() if isinstance(m, kinds) and "inner" not in name]
    handles = [layer.register_forward_hook(count) for layer in layers]
    module(*inputs)
    for handle in handles:
        handle.remove()
    return total


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def test_largest_is_the_model(specimen):
    expected = specimen.model(*specimen.inputs)
    close(specimen.network(*specimen.inputs), expected)
    close(specimen.network.extract(specimen.network.space.largest)(*specimen.inputs), expected)


def test_extracted_is_activated(specimen, rng):
    network = specimen.network
    for architecture in some(network.space, rng):
        with network.activated(architecture):
            expected = network(*specimen.inputs)
        close(network.extract(architecture)(*specimen.inputs), expected)


def test_macs_are_those_of_hooks(specimen, rng):
    space = specimen.network.space
    for architecture in some(space, rng):
        extracted = copy.deepcopy(specimen.network.extract(architecture))
        assert space.macs(architecture) == counted_macs(extracted, specimen.inputs), architecture


def test_extracted_weights_are_prefixes(specimen, rng):
    """A layer that reads several groups takes a prefix of each, see the next test."""
    if specimen.is_joined:
        pytest.skip("a layer reads several groups")
    whole = specimen.network.module.state_dict()
    for architecture in some(specimen.network.space, rng, 3):
        for name, value in specimen.network.extract(architecture).state_dict().items():
            if name.endswith("weight") and value.ndim == 2 and specimen.name == "vgg":
                continue  # a flattened map: still a prefix, as channels come before pixels
            assert torch.equal(value, whole[name][tuple(slice(n) for n in value.shape)]), name


def test_concatenation_takes_a_prefix_of_each_part(lambda_model, randomise):
    model = lambda_model(
        lambda self, x: self.out(torch.cat([self.a(x), x, self.b(x)], 1)),
        a=nn.Conv2d(3, 8, 1),
        b=nn.Conv2d(3, 12, 1),
        out=nn.Conv2d(23, 4, 1),
    )
    x = torch.randn(1, 3, 4, 4)
    network = supernet.generate(randomise(model), x, SpaceSection(divisor=2))
    sub = network.extract(Architecture(width=(4, 6)))
    columns = [*range(4), *range(8, 11), *range(11, 17)]
    assert torch.equal(sub.get_submodule("out").weight, model.out.weight[:, columns])


def test_sub_network_is_the_hand_written_one(tiny_network, make_tiny_resnet, tiny_images, rng):
    space = tiny_network.space
    names = [group.name for group in space.groups]
    for architecture in some(space, rng):
        units = dict(zip(names, space.units(architecture), strict=True))
        kept1, kept2 = architecture.depth
        by_hand = make_tiny_resnet(
            units["conv1"],
            [units[f"layer1.{i}.conv1"] for i in range(kept1)],
            units["layer2.0.conv2"],
            [units[f"layer2.{i}.conv1"] for i in range(1 + kept2)],
        ).eval()
        by_hand.load_state_dict(tiny_network.extract(architecture).state_dict(), strict=True)
        with tiny_network.activated(architecture):
            close(tiny_network(tiny_images), by_hand(tiny_images))


def test_order_channels_keeps_the_function(specimen):
    network = copy.deepcopy(specimen.network)
    expected = network(*specimen.inputs)
    network.order_channels()
    close(network(*specimen.inputs), expected)


def test_order_channels_puts_the_heaviest_first(make_tiny_network):
    network = make_tiny_network()
    network.order_channels()
    state = network.module.state_dict()
    weight = state["layer1.0.conv1.weight"].abs().sum((1, 2, 3))
    reader = state["layer1.0.conv2.weight"].abs().sum((0, 2, 3))
    assert torch.equal(weight + reader, (weight + reader).sort(descending=True).values)


def test_order_channels_with_tied_weights(lambda_model, randomise):
    a, b = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
    b.weight = a.weight
    model = nn.Sequential(nn.Conv2d(3, 8, 1), a, nn.ReLU(), b, nn.Conv2d(8, 4, 1))
    x = torch.randn(1, 3, 6, 6)
    network = supernet.generate(randomise(model), x, SpaceSection(divisor=2))
    expected = network(x)
    network.order_channels()
    close(network(x), expected)


def test_activated_restores_after_an_exception(tiny_network, tiny_images):
    space = tiny_network.space
    expected = tiny_network(tiny_images)
    with tiny_network.activated(space.smallest):
        narrow = tiny_network(tiny_images)
        assert not torch.equal(narrow, expected)
        with pytest.raises(RuntimeError), tiny_network.activated(space.largest):
            tiny_network(tiny_images[:, :2])
        assert torch.equal(tiny_network(tiny_images), narrow)
    assert torch.equal(tiny_network(tiny_images), expected)


def test_activated_refuses_a_foreign_architecture(tiny_network):
    with pytest.raises(OvnasError, match="too short"), tiny_network.activated(Architecture(width=(4,))):
        pass


def test_extracted_owns_its_tensors(specimen):
    """Nothing done to a sub-network reaches the super-network: weights, modes, hooks."""
    network = specimen.network
    expected = network(*specimen.inputs)
    sub = network.extract(network.space.largest)
    shared = {id(t) for t in [*network.parameters(), *network.buffers()]}
    assert not [n for n, t in [*sub.named_parameters(), *sub.named_buffers()] if id(t) in shared]
    for tensor in [*sub.parameters(), *sub.buffers()]:
        tensor.zero_()
    assert torch.equal(torch.cat([t.flatten() for t in _flat(network(*specimen.inputs))]), _joined(expected))


def test_extracted_owns_its_hooks(tiny_network, tiny_images):
    calls = []
    sub = tiny_network.extract(tiny_network.space.largest)
    handle = sub.get_submodule("conv1").register_forward_hook(lambda *_: calls.append(1))
    tiny_network(tiny_images)
    handle.remove()
    assert not calls


def test_gradients_reach_only_the_active_prefix(make_tiny_network, tiny_images):
    network = make_tiny_network()
    smallest = network.space.smallest
    with torch.enable_grad(), network.activated(smallest):
        network(tiny_images).sum().backward()
    sizes = dict(zip((g.name for g in network.space.groups), network.space.units(smallest), strict=True))
    gradient = network.module.get_submodule("conv1").weight.grad
    assert gradient[: sizes["conv1"]].any()
    assert not gradient[sizes["conv1"] :].any()
    assert network.module.get_submodule("layer1.0.conv1").weight.grad is None


def test_same_seed_same_architectures(tiny_network):
    first, second = (
        [tiny_network.space.sample(rng) for _ in range(5)]
        for rng in (np.random.default_rng(3), np.random.default_rng(3))
    )
    assert first == second


def _flat(value):
    return value if isinstance(value, tuple) else (value,)


def _joined(value):
    return torch.cat([t.flatten() for t in _flat(value)])
