from __future__ import annotations

import json
import re

import pytest
import torch
from torch import nn

import supernet
from supernet import SpaceSection
from supernet.outline import outline
from supernet.show import main


@pytest.fixture(scope="module")
def found(zoo, randomise):
    model = nn.Sequential(zoo["mobilenet"](), nn.Unflatten(1, (5, 1, 1)), nn.Conv2d(5, 4, 5, padding=2))
    example = torch.randn(1, 3, 12, 12)
    return outline(supernet.generate(model, example, SpaceSection(divisor=4, kernel=(3,))), example)


def test_rows_are_what_makes_and_joins_channels(found):
    rows = {row.name: row for row in found.rows}
    assert found.rows[0].operation == "input"
    assert [row.operation for row in found.rows].count("addition") == 2
    stem = rows["0.0.0"]
    assert (stem.operation, stem.channels, stem.least, stem.shape) == (
        "convolution 3x3, stride 2",
        16,
        4,
        (1, 16, 6, 6),
    )
    assert stem.macs == 36 * 9 * 3 * 16
    depthwise = next(row for row in found.rows if row.operation.startswith("depthwise"))
    assert depthwise.least < depthwise.channels  # also inside of blocks that may be skipped
    assert depthwise.groups == found.rows[depthwise.sources[0]].groups != ()
    assert sum(row.macs for row in found.rows) == found.most_macs
    assert rows["2"].sides == (3, 5)


def test_blocks_that_may_be_skipped_hold_their_rows(found):
    blocks = {row.block for row in found.rows if row.block is not None}
    assert len(blocks) == found.n_skippable == 2
    additions = [row for row in found.rows if row.operation == "addition"]
    assert all(row.block is not None and len(row.sources) == 2 for row in additions)


def test_what_is_fixed_says_why(found):
    assert {one.name: one.what for one in found.fixed} == {
        "0.7": "5 unit(s) of channels",
        "2": "4 unit(s) of channels",
    }
    assert all(one.reason for one in found.fixed)


def test_the_page_shows_every_operation(tmp_path, capsys):
    model = ("--model", "supernet.models.mobilenet:mobilenet_v2", "--input-shape", "3,32,32")
    assert main([*model, "--json", "--to", str(tmp_path / "page.html")]) == 0
    value = json.loads(capsys.readouterr().out)
    page = (tmp_path / "page.html").read_text()
    assert value["page"] == str(tmp_path / "page.html")
    assert value["log10_size"] > 10
    assert "<svg" in page
    assert not re.search(r"<script|(src|href)=['\"]?https?:", page)
    assert "features.18.0" in page
    assert "may be left out: block 1 of features.3.conv depth (0, 1)" in page
    assert "its channels are the network&#x27;s output" in page


def test_a_study_has_a_page_beside_its_results(tmp_path, capsys):
    assert main(["--study", "digits", "--runs-dir", str(tmp_path)]) == 0
    assert (tmp_path / "digits" / "supernet" / "space.html").is_file()
    assert "fixed: fc (10 unit(s) of channels)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--model", "nonsense"], "must read 'package.module:factory'"),
        (
            ["--model", "supernet.models.resnet:resnet_digits", "--input-shape", "3,32"],
            "--input-shape must be",
        ),
        (["--model", "a:b", "--study", "digits"], "exclude each other"),
        (["--weights", "x.pth"], "--weights belongs to --model"),
        (["--model", "supernet.models.resnet:resnet_digit"], "cannot be imported"),
        (["--model", "supernet.models.resnet:resnet50", "--weights", "no.pth"], "no weights file no.pth"),
    ],
)
def test_faults_are_one_line(argv, message, capsys):
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
