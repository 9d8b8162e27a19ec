from __future__ import annotations

import argparse
import io

import pytest
from rich.console import Console

from search.finetuning import finetune_missing
from search.settings import Settings, add_options
from supernet import OvnasError, Study, cli

ARGUMENTS = argparse.Namespace(study="s", runs_dir="r", seed=3, json=True)


class Material:
    def extract(self, architecture):
        return None, {"epochs": 2} if architecture == "done" else None


def test_only_those_without_weights_of_their_own_are_trained(monkeypatch):
    asked = []
    monkeypatch.setattr("supernet.finetune.finetune", asked.append)
    out = io.StringIO()
    finetune_missing(ARGUMENTS, Material(), ["one", "done", "two"], 4, Console(file=out))
    assert [(a.architecture, a.epochs, a.seed, a.study) for a in asked] == [
        ("one", 4, 3, "s"),
        ("two", 4, 3, "s"),
    ]
    assert "1 of 2" in out.getvalue()
    assert "1 finalist(s) were fine-tuned before, not for 4 epoch(s)" in " ".join(out.getvalue().split())


def test_one_that_fails_costs_no_other_its_training(monkeypatch):
    asked = []

    def fail_first(arguments):
        asked.append(arguments.architecture)
        if arguments.architecture == "one":
            raise OvnasError("the loss is no number any more")

    monkeypatch.setattr("supernet.finetune.finetune", fail_first)
    out = io.StringIO()
    finetune_missing(ARGUMENTS, Material(), ["one", "two"], 4, Console(file=out))
    assert asked == ["one", "two"]
    assert "note: one is built as it was: the loss is no number any more" in " ".join(out.getvalue().split())


def parsed(*options: str) -> argparse.Namespace:
    parser = cli.parser("search.run", "")
    add_options(parser)
    return parser.parse_args(options)


def test_the_option_takes_the_place_of_the_studys(write_study, tmp_path):
    study = Study.load(str(write_study(tmp_path, search="finetune_epochs = 2")))
    assert Settings.of(study, parsed()).finetune_epochs == 2
    assert Settings.of(study, parsed("--finetune", "0")).finetune_epochs == 0
    assert Settings.of(study, parsed("--finetune", "5")).finetune_epochs == 5


@pytest.mark.parametrize(
    ("data", "epochs", "message"), [("none", "1", "--finetune needs data"), ("digits", "-1", "must be >= 0")]
)
def test_what_makes_no_sense_is_refused(write_study, tmp_path, data, epochs, message):
    study = Study.load(str(write_study(tmp_path, data=data)))
    with pytest.raises(OvnasError, match=message):
        Settings.of(study, parsed("--finetune", epochs))
