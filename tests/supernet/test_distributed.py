from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from supernet import Study
from supernet.checkpoint import load_finetuned, load_supernet, read_card
from supernet.distributed import ALONE, World

# Without BatchNorm, whose statistics are those of each process's part of the batch.
SCRIPT = """
import sys
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import TensorDataset
import supernet
from supernet.compute import Compute
from supernet.distributed import joined_world
from supernet.sandwich import StageSpace, sandwich_step
from supernet.study import StageSection, TrainSection
from supernet.training import Fit, Recipe

torch.set_num_threads(1)
torch.manual_seed(0)
model = nn.Sequential(
    *(nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU()),
    *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)),
).eval()
options = supernet.SpaceSection(width=(0.5, 1.0), divisor=4)
network = supernet.generate(model, torch.zeros(1, 3, 12, 12), options)
images = TensorDataset(torch.randn(48, 3, 12, 12), torch.arange(48) % 5)
section = TrainSection(n_random=2)
stage = StageSpace(network.space, StageSection(("width",), 1, 0.1))
step = sandwich_step(network, model, stage, section, Compute())
with joined_world() as world:
    fit = Fit(network, images, Recipe(3, 0.1, batch_size=16), step, seed=(0,), world=world)
    losses = [epoch.loss for epoch in fit.epochs()]
state = {name: value.contiguous() for name, value in network.module.state_dict().items()}
save_file({**state, "losses": torch.tensor(losses)}, f"{sys.argv[1]}-{world.rank}-of-{world.size}")
"""


# Each with the statistics of its own images; what is kept of them is the same in both.
BATCHNORM = SCRIPT.replace("nn.Conv2d(3, 16, 3, 2), nn.ReLU()", "nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16)")
BATCHNORM = BATCHNORM.replace("batch_size=16)", "batch_size=16, ema_decay=0.9)")


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def run_together(n: int, *command: str) -> None:
    root = Path(__file__).parents[2]
    search = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    shared = {**os.environ, "PYTHONPATH": search, "OMP_NUM_THREADS": "1", "WORLD_SIZE": str(n)}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    processes = [
        subprocess.Popen([sys.executable, *command], env={**shared, "RANK": str(r), "LOCAL_RANK": str(r)})
        for r in range(n)
    ]
    assert [process.wait(300) for process in processes] == [0] * n


def test_two_processes_train_as_one_does(tmp_path):
    for n in (1, 2):
        run_together(n, "-c", SCRIPT, str(tmp_path / "state"))
    one = load_file(tmp_path / "state-0-of-1")
    first, second = (load_file(tmp_path / f"state-{rank}-of-2") for rank in range(2))
    for name, value in one.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-5)


def test_two_processes_keep_the_same_statistics(tmp_path):
    run_together(2, "-c", BATCHNORM, str(tmp_path / "state"))
    first, second = (load_file(tmp_path / f"state-{rank}-of-2") for rank in range(2))
    assert any("running_var" in name for name in first)
    for name, value in first.items():
        assert torch.equal(second[name], value)


@pytest.mark.slow
def test_the_command_runs_in_two_processes(write_study, tmp_path):
    file = write_study(tmp_path, train="batch_size = 128")
    options = ["--study", str(file), "--runs-dir", str(tmp_path / "runs")]
    run_together(2, "-m", "supernet.train", *options)
    study, folder = Study.load(str(file)), tmp_path / "runs/tiny/supernet"
    load_supernet(study, folder)
    card = read_card(study, folder)
    assert card is not None
    assert card["accuracy"]["pretrained"] > 0.2
    network, _ = load_supernet(study, folder)
    smallest = network.space.smallest
    options += ["--architecture", str(smallest), "--epochs", "2", "--learning-rate", "0.05"]
    run_together(2, "-m", "supernet.finetune", *options)
    kept = load_finetuned(network, folder, smallest)
    assert kept is not None
    assert kept[1]["epochs"] == 2


@pytest.mark.parametrize("size", [1, 2, 3])
def test_parts_make_the_whole(size):
    items = list(range(12))
    parts = [items[World(rank, size).part(12)] for rank in range(size)]
    assert [item for part in parts for item in part] == items
    assert len({len(part) for part in parts}) == 1


def test_one_process_alone_sends_nothing():
    value = torch.ones(3)
    ALONE.average([value])
    assert torch.equal(value, torch.ones(3))
    assert ALONE.is_first
    assert ALONE.agree("x") == "x"
