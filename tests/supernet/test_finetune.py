from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch

from supernet import Study, finetune
from supernet.checkpoint import (
    digest,
    finetuned_int8_card,
    finetuned_path,
    load_finetuned,
    load_supernet,
)
from supernet.data import load_splits, take
from supernet.int8 import quantize, to_openvino
from supernet.keeper import Keeper
from supernet.training import accuracy


@pytest.fixture(scope="module")
def trained(trained):
    """The tiny study's super-network, read back too."""
    folder, options = trained
    loaded = Study.load(options[1])
    network, _ = load_supernet(loaded, folder / "runs/tiny/supernet")
    return folder, options, loaded, network


def n_quantizers(model: ov.Model) -> int:
    return sum(op.get_type_name() == "FakeQuantize" for op in model.get_ops())


def run(capsys, *options: str) -> dict:
    capsys.readouterr()
    assert finetune.main([*options, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_fine_tuning_then_int8(trained, capsys):
    folder, options, study, network = trained
    home = folder / "runs/tiny/supernet"
    smallest = network.space.smallest
    options = [*options, "--architecture", str(smallest)]
    splits = load_splits(study)

    found = run(capsys, *options, "--epochs", "4", "--learning-rate", "0.03")
    assert found["is_better"]
    assert found["after"]["validation"] > found["before"]["validation"] + 0.05  # it was trained little
    module, facts = load_finetuned(network, home, smallest)
    assert facts["finetuning"] == [{"epochs": 4, "learning_rate": 0.03, "seed": 0}]
    assert accuracy(module, splits.validation) == pytest.approx(found["after"]["validation"], abs=0.004)
    assert load_finetuned(network, home, network.space.largest) is None
    assert finetune.main(options) == 2
    assert "fine-tuned already" in capsys.readouterr().err

    int8 = run(capsys, *options, "--int8", "--epochs", "1")
    kept = max(int8[when]["validation"] for when in ("before", "after"))
    model = ov.Core().read_model(f"{int8['path']}/model.xml")
    usual = quantize(to_openvino(module, splits.test[0][0][None]), take(splits.train, 8))
    assert n_quantizers(model) == n_quantizers(usual) > 0
    assert accuracy(finetune._compiled(model), splits.validation) == pytest.approx(kept, abs=0.004)
    assert abs(kept - found["after"]["validation"]) < 0.1
    card = finetuned_int8_card(home, smallest)
    assert card["is_better"] == int8["is_better"]
    assert card["weights"] == digest(finetuned_path(home, smallest))
    assert finetuned_int8_card(home, network.space.largest) is None
    before = (Path(int8["path"]) / "model.bin").read_bytes()
    assert finetune.main([*options, "--int8"]) == 2
    assert "fine-tuned as INT8 already" in capsys.readouterr().err
    assert (Path(int8["path"]) / "model.bin").read_bytes() == before


@pytest.mark.parametrize("int8", [[], ["--int8"]])
def test_interrupted_fine_tuning_goes_on_to_the_same_result(trained, capsys, monkeypatch, tmp_path, int8):
    folder, options, _, network = trained
    architecture = network.space.sample(np.random.default_rng(3))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for copy in (whole, broken):
        shutil.copytree(folder / "runs/tiny/supernet", copy / "tiny/supernet")
    options = [*options[:2], "--architecture", str(architecture), *int8]
    expected = run(capsys, *options, "--epochs", "2", "--runs-dir", str(whole))

    options += ["--runs-dir", str(broken)]
    save = Keeper.save
    monkeypatch.setattr(Keeper, "save", lambda *everything: save(*everything) or 1 / 0)
    with pytest.raises(ZeroDivisionError):  # after one epoch
        finetune.main([*options, "--epochs", "2"])
    monkeypatch.undo()
    capsys.readouterr()
    assert finetune.main([*options, "--epochs", "3"]) == 2
    err = capsys.readouterr().err
    assert "epochs: '2' there, '3' now); delete it to begin anew" in err
    assert err.count("\n") == 1
    assert finetune.main([*options, "--epochs", "2"]) == 0
    assert "going on with the interrupted fine-tuning" in capsys.readouterr().out
    assert not list((broken / "tiny").rglob("*.unfinished"))
    name = "model.bin" if int8 else ""
    written = [Path(expected["path"].replace(str(whole), str(home))) / name for home in (whole, broken)]
    assert written[0].read_bytes() == written[1].read_bytes()


def test_weights_of_another_super_network_are_not_taken(trained, tmp_path):
    folder, _, _, network = trained
    home = folder / "runs/tiny/supernet"
    other = tmp_path / "supernet"
    (other / "finetuned").mkdir(parents=True)
    (other / "supernet.safetensors").write_bytes(b"other weights")
    for path in (home / "finetuned").glob("*.safetensors"):
        (other / "finetuned" / path.name).write_bytes(path.read_bytes())
        assert load_finetuned(network, other, network.space.smallest) is None


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--architecture", "nonsense"], "an architecture reads like"),
        (["--architecture", "w1-1_d0"], "no member of this space"),
        (["--architecture", "{smallest}", "--epochs", "0"], "--epochs must be >= 1"),
        (["--architecture", "{smallest}", "--learning-rate", "0"], "--learning-rate > 0"),
    ],
)
def test_faults_are_said(trained, capsys, extra, message):
    _, options, _, network = trained
    extra = [text.replace("{smallest}", str(network.space.smallest)) for text in extra]
    assert finetune.main([*options, *extra]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_half_a_range_is_left_to_weights_that_would_saturate(tiny_network, tiny_images):
    """That of the first layer is so anyway, as in post-training quantisation."""
    from supernet.quantization_aware import insert_quantizers

    module = tiny_network.extract(tiny_network.space.smallest)
    whole, half = (
        [
            m.scale
            for m in insert_quantizers(module, tiny_images, half_range=half).modules()
            if is_of_weights(m)
        ]
        for half in (False, True)
    )
    assert len(whole) >= 3
    torch.testing.assert_close(half, [whole[0], *(2 * scale for scale in whole[1:])])


def is_of_weights(module) -> bool:
    return getattr(module, "per_channel", False)


@pytest.mark.parametrize("half_range", [False, True])
def test_a_quantised_module_trains_and_computes_as_its_model(tiny_network, tiny_images, half_range):
    """INT8 accuracy that quantisation has lost comes back: the error against the float network falls."""
    from supernet.quantization_aware import insert_quantizers, quantized_to_openvino

    module = tiny_network.extract(tiny_network.space.smallest)
    with torch.no_grad():
        wanted = module(tiny_images)
    quantized = insert_quantizers(module, tiny_images, half_range=half_range)

    def error() -> float:
        compiled = finetune._compiled(quantized_to_openvino(quantized, tiny_images[:1]))
        return float((compiled(tiny_images) - wanted).square().mean())

    before = error()
    optimizer = torch.optim.Adam(quantized.parameters(), lr=1e-3)
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(quantized(tiny_images), wanted).backward()
        optimizer.step()
    after = error()
    assert after < before / 2
    with torch.no_grad():
        theirs = quantized(tiny_images)
    compiled = finetune._compiled(quantized_to_openvino(quantized, tiny_images[:1]))
    torch.testing.assert_close(compiled(tiny_images), theirs, rtol=0.05, atol=0.02)
    batched = finetune._compiled(quantized_to_openvino(quantized, tiny_images[:3]))  # 7: a part is filled up
    torch.testing.assert_close(batched(tiny_images[:7]), compiled(tiny_images[:7]), rtol=1e-3, atol=1e-3)
