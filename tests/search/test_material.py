from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import TensorDataset

from search.finalists import build
from search.material import Material
from search.problem import Candidate
from supernet.batchnorm import Reestimator, reestimate
from supernet.checkpoint import finetuned_path, origin_of
from supernet.data import Splits
from supernet.whole_files import load_state, save_state

TARGET = {"mode": "latency", "threads": 1, "streams": 1, "batch": 1}


@pytest.fixture
def material(tiny_network, make_tiny_resnet, tiny_images, tmp_path) -> Material:
    """A super-network whose smallest member was fine-tuned: its classifier knows one class only."""
    home = tmp_path / "supernet"
    home.mkdir()
    (home / "supernet.safetensors").write_bytes(b"shared weights")
    architecture = tiny_network.space.smallest
    module = tiny_network.extract(architecture)
    reestimate(module, tiny_images)
    state = module.state_dict()
    state["fc.weight"], state["fc.bias"] = torch.zeros_like(state["fc.weight"]), torch.eye(5)[3]
    facts = {"epochs": 4, "learning_rate": 0.01, "seed": 0, **origin_of(home)}
    save_state(state, finetuned_path(home, architecture), facts=facts)
    images = TensorDataset(tiny_images, torch.full((len(tiny_images),), 3))
    return Material(
        tiny_network,
        make_tiny_resnet(),
        Splits(images, images, images, n_classes=5),
        Reestimator(tiny_network, tiny_images),
        calibration=tiny_images,
        example=tiny_images[:1],
        supernet=home,
    )


def test_only_what_was_fine_tuned_from_this_super_network_has_weights_of_its_own(material, tiny_images):
    space = material.network.space
    module, finetuning = material.extract(space.smallest)
    assert finetuning == {"epochs": 4, "learning_rate": 0.01, "seed": 0}
    assert module(tiny_images).argmax(1).tolist() == [3] * len(tiny_images)
    for architecture, weights in ((space.largest, b"shared weights"), (space.smallest, b"trained further")):
        (material.supernet / "supernet.safetensors").write_bytes(weights)
        module, finetuning = material.extract(architecture)
        assert finetuning is None
        expected = material.network.extract(architecture)
        reestimate(expected, tiny_images)
        torch.testing.assert_close(module.state_dict(), expected.state_dict())


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (
            {"epochs": 3, "learning_rate": 0.1, "seed": 0, "is_better": False},
            0,
        ),  # as saved before there was a list
        ({"finetuning": []}, 0),
        (
            {
                "finetuning": [
                    {"epochs": 4, "learning_rate": 0.1, "seed": 0},
                    {"epochs": 2, "learning_rate": 0.01, "seed": 1},
                ]
            },
            6,
        ),
    ],
)
def test_only_fine_tuning_that_made_it_better_is_told(material, tmp_path, facts, expected):
    architecture = material.network.space.smallest
    path = finetuned_path(material.supernet, architecture)
    state, _ = load_state(path)
    save_state(state, path, facts={**facts, **origin_of(material.supernet)})
    _, finetuning = material.extract(architecture)
    assert finetuning["epochs"] == expected
    assert finetuning["learning_rate"] == (0.01 if expected else None)


def test_a_fine_tuned_finalist_is_judged_and_exported_with_its_weights(material, tmp_path):
    candidate = Candidate(material.network.space.smallest, 0.2, 100.0, 1000)
    built = build(material, candidate, tmp_path / "01", TARGET)
    assert built.finetuning["epochs"] == 4
    assert (built.top1_fp32, built.top1_int8) == (1.0, 1.0)
    weights = load_file(Path(built.exported.files["weights"]))
    assert not weights["fc.weight"].any()
    assert build(material, None, tmp_path / "baseline", TARGET).finetuning is None
