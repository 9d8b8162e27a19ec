from __future__ import annotations

import json

import pytest

from search.card import card_text, write_card


@pytest.fixture
def card(found, tmp_path):
    one = {**found.value["finalists"][1], "onnx_checked_by": "onnxruntime 1.20.0"}
    write_card(one, found.value, tmp_path / "02")
    return one, tmp_path / "02"


def test_json_holds_the_figures_and_their_conditions(card, found):
    one, folder = card
    value = json.loads((folder / "card.json").read_text())
    assert {key: value[key] for key in one} == one
    for key in ("machine", "target", "command", "seed", "calibration_samples", "batchnorm_samples", "n_test"):
        assert value[key] == found.value[key]
    assert "finalists" not in value


def test_text_says_how_large_images_must_be(card):
    one, _ = card
    assert "with an image of shape (batch, channels, height, width); as the study's" in card_text(one)
    assert "height, width); RGB, 0 to 1:" in card_text({**one, "preprocessing": "RGB, 0 to 1"})
    assert "height, width), at 160 x 160 px (bilinear" in card_text({**one, "architecture": "w8-16_r160"})


def test_text_names_every_figure(card):
    one, folder = card
    text, measured = (folder / "README.md").read_text(), one["measured"]
    for name in ("speedup", "throughput_speedup", "speedup_fp32", "throughput_speedup_fp32"):
        low, high = measured[f"{name}_interval"]
        assert (
            f"| {measured[name]:.3f}x | {low:.3f} to {high:.3f} (95 % interval over copies and rounds) |"
            in text
        )
    for part in (
        f"{measured['latency_us']:,.1f} us",
        f"{measured['throughput_sps']:,.1f} samples/s",
        f"{100 * measured['top1_int8']:.2f} % | standard error {100 * measured['top1_int8_se']:.2f} points",
        "n = 360",
        f"{one['predicted']['latency_us'] / one['machine_speed']:,.1f} us",
        f"{one['macs']:,}",
        f"{one['model_bytes']:,} bytes |  | INT8 weights: model.bin |",
        "20 of 20",
        one["architecture"],
    ):
        assert part in text


def test_text_says_that_weights_are_fine_tuned(card):
    one, folder = card
    assert "fine-tuned" not in (folder / "README.md").read_text()
    own = {"is_finetuned": True, "finetuning": {"epochs": 4, "learning_rate": 0.01, "seed": 0}}
    assert "fine-tuned alone for 4 epoch(s) at 0.01 (`python -m supernet.finetune`)" in card_text(one | own)


def test_text_says_that_it_was_trained_as_int8(card):
    one, _ = card
    own = {"epochs": 2, "learning_rate": 0.001, "seed": 0}
    text = card_text(one | {"is_finetuned": True, "int8_finetuning": own})
    assert "trained on as that for 2 epoch(s) at 0.001 (`python -m supernet.finetune --int8`)" in text
    assert "fine-tuned alone" not in text
    assert "calibration samples" not in text
    assert "with weights of its own: trained on from the others" in text


def test_text_names_conditions_and_command(card, found):
    text = (card[1] / "README.md").read_text()
    for part in (
        "| calibration samples of the quantisation | 850 |",
        "| samples that BatchNorm was re-estimated on | 512 |",
        "| openvino | 2026.1.0-1-abc |",
        "| ONNX file checked by | onnxruntime 1.20.0 |",
        "1 thread(s), batch 1, latency mode",
        f"\n    {found.value['command']}\n",
        "    benchmark_app -m model.xml\n",
        "batch is fixed at 1",
    ):
        assert part in text


def test_faster_is_claimed_only_where_it_was_shown(card):
    value = json.loads((card[1] / "card.json").read_text())
    assert "It is faster" in card_text(value)
    value["measured"]["is_faster"] = False
    assert "It is not faster" in card_text(value)
    value["measured"]["is_faster"] = None
    assert "faster" not in card_text(value).split("## Figures")[0]


def test_loadgen_s_figures_stand_with_verdict_and_conditions(found, tmp_path):
    head = {"scenario": "server", "metric": "samples/s"}
    full = {**head, "value": 81.25, "verdict": "VALID", "is_quick": False, "bound_ms": 20.0}
    full["arrangement"] = {"threads": 2, "streams": 1}
    quick = {**head, "value": None, "verdict": "INVALID", "is_quick": True, "reason": "no process"}
    write_card({**found.value["finalists"][0], "mlperf": [full, quick]}, found.value, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert (
        "| MLPerf server, samples/s | 81.250 | LoadGen's verdict: VALID | the rules' duration and counts; "
        "99th percentile within 20 ms; threads 2, streams 1 |"
    ) in text
    assert "| LoadGen's verdict: INVALID (no process) | a quick run: not valid for a submission |" in text


def test_what_was_broken_is_said(card):
    value = json.loads((card[1] / "card.json").read_text())
    assert "breaks" not in card_text(value)
    value["violations"] = ["max_latency: 8.3 ms > 8 ms"]
    assert "breaks what was asked for:** max_latency: 8.3 ms > 8 ms." in card_text(value)


def test_the_baseline_has_a_card_too(found, tmp_path):
    write_card(found.value["baseline"], found.value, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "the baseline of the search" in text
    assert "latency of the FP32 pre-trained model" in text
    assert json.loads((tmp_path / "card.json").read_text())["onnx_checked_by"]


def test_without_accuracy_or_intervals(found, tmp_path):
    one = found.value["finalists"][0]
    one["measured"] |= {"top1_fp32": None, "top1_int8": None, "speedup_interval": None}
    one["predicted"] |= {"interval_us": [None, None], "top1": None}
    write_card(one, {}, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "| top-1, INT8 | accuracy not measured |" in text
    assert "no interval" in text
