from __future__ import annotations

from pathlib import Path

import openvino as ov
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import TensorDataset

from profiling.machine import has_vnni, read_machine
from search.finalists import build
from search.finetuning import trained_int8
from search.material import Material
from search.problem import Candidate
from supernet.batchnorm import Reestimator, reestimate
from supernet.checkpoint import digest, finetuned_int8_folder, finetuned_path, origin_of
from supernet.data import Splits
from supernet.errors import OvnasError
from supernet.int8 import quantize, to_openvino
from supernet.whole_files import load_state, read_json, save_state, write_json

HALF_RANGE = not has_vnni(read_machine())
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


def save_trained_int8(material: Material, batch: int = 1, **facts: object) -> Path:
    """As `supernet.finetune --int8` leaves it: a model whose classifier knows another class, 1."""
    architecture = material.network.space.smallest
    module = material.extract(architecture)[0]
    module.load_state_dict(module.state_dict() | {"fc.bias": torch.eye(5)[1]})
    home = finetuned_int8_folder(material.supernet, architecture)
    home.mkdir()
    images = material.calibration
    ov.save_model(quantize(to_openvino(module, images[:batch]), images), home / "model.xml")
    card = {
        "epochs": 2,
        "learning_rate": 0.001,
        "seed": 7,
        "is_better": True,
        "half_range_weights": HALF_RANGE,
        "weights": digest(finetuned_path(material.supernet, architecture)),
        **origin_of(material.supernet),
    }
    write_json(card | facts, home / "card.json")
    return home


def test_a_finalist_that_was_trained_as_int8_is_that_model(material, tmp_path):
    save_trained_int8(material)
    candidate = Candidate(material.network.space.smallest, 0.2, 100.0, 1000)
    built = build(material, candidate, tmp_path / "01", TARGET)
    assert (built.top1_fp32, built.top1_int8) == (1.0, 0.0)
    assert built.int8_finetuning == {"epochs": 2, "learning_rate": 0.001, "seed": 7}
    answers = ov.compile_model(built.exported.files["ir"])(material.example.numpy())[0]
    assert answers.argmax() == 1


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"weights": "those before it was fine-tuned on"}, "other weights now"),
        ({"weights": None}, "an earlier version made it"),
        ({"supernet": "another one"}, "another super-network"),
        ({"is_better": False}, "did not make it better"),
        ({"batch": 2}, "its batch is 2, the target's 1"),
        ({"half_range_weights": not HALF_RANGE}, f"CPU {'with' if HALF_RANGE else 'without'} VNNI"),
    ],
)
def test_an_int8_model_that_does_not_suit_is_passed_over(material, facts, reason):
    home = save_trained_int8(material, **facts)
    if facts.get("weights", "") is None:
        card = read_json(home / "card.json")
        del card["weights"]
        write_json(card, home / "card.json")
    architecture = material.network.space.smallest
    notes: list[str] = []
    assert trained_int8(material, architecture, HALF_RANGE, notes.append) == (None, None)
    assert len(notes) == 1
    assert f"made of {architecture} is not used: " in notes[0]
    assert reason in notes[0]


def test_a_damaged_int8_model_is_named(material):
    home = save_trained_int8(material)
    (home / "model.xml").write_text("{")
    with pytest.raises(OvnasError, match=f"{home / 'model.xml'} cannot be read; delete {home}"):
        trained_int8(material, material.network.space.smallest, HALF_RANGE, print)


def test_a_damaged_card_is_none(material):
    (save_trained_int8(material) / "card.json").write_text("{")
    assert trained_int8(material, material.network.space.smallest, HALF_RANGE, print) == (None, None)
