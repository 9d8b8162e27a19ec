"""What tests of training share: the files that one leaves, and a study in stages."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

from supernet import train
from supernet.keeper import Keeper

NAMES = {"pretrained.safetensors", "supernet.safetensors", "supernet.json"}
LOG = "training.csv"
SHORT = {"train": "batch_size = 128"}


def files(folder) -> dict[str, tuple[bytes, int]]:
    home = folder / "runs/tiny/supernet"
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in home.iterdir()}


def rows(folder) -> list[dict[str, str]]:
    with (folder / "runs/tiny/supernet" / LOG).open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


STAGES = """
stages = [
    {open = ["depth"], epochs = 2, learning_rate = 0.05},
    {open = ["depth", "width"], epochs = 2, learning_rate = 0.05},
]
pretrain_epochs = 2
batch_size = 256
n_random = 1
ema_decay = 0.9
precision = "float32"
checkpoint_minutes = 1e-9
"""


def staged_study(write_study, folder):
    file = write_study(folder)
    text = file.read_text()
    start, end = text.index("[train]"), text.index("[search]")
    file.write_text(f"{text[:start]}[train]{STAGES}{text[end:]}")
    return ["--study", str(file), "--runs-dir", str(folder / "runs")]


def killed_after(monkeypatch, n_saves: int, options: list[str]) -> None:
    """Trains until the state was saved so many times."""
    save, left = Keeper.save, itertools.count(n_saves - 1, -1)

    def killed(self, phase, fit):
        save(self, phase, fit)
        if next(left) == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Keeper, "save", killed)
        assert train.main(options) == 2


FIRST = '{open = ["depth"], epochs = 2, learning_rate = 0.05}'
ALL_OPEN = '{open = ["depth", "width"], epochs = 1, learning_rate = 0.02}'


def with_stages(options, *stages: str) -> None:
    file = Path(options[1])
    start, end = (text := file.read_text()).index("stages = ["), text.index("]\npretrain")
    file.write_text(f"{text[:start]}stages = [{', '.join(stages)}{text[end:]}")


def refused(capsys, *options: str) -> str:
    assert train.main(list(options)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err
