"""Fixtures that all packages share: a small residual network and its super-network."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys

os.environ.setdefault("NNCF_CI", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import supernet
from supernet import ElasticNetwork, SpaceSection

if TYPE_CHECKING:
    from profiling.kernel import Kernel
    from profiling.plan import Plan
    from profiling.preparation import Bench
    from profiling.store import KernelTime
    from profiling.timing import Round
    from supernet import Architecture
    from supernet.sliced import SlicedGraphs


class TinyBlock(nn.Module):
    def __init__(self, channels: int, inner: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride > 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class TinyResNet(nn.Module):
    """Two stages: `inner1` has one inner width a block, all droppable; of `inner2` the first is not."""

    def __init__(
        self, stem: int = 16, inner1: Sequence[int] = (16, 8), out: int = 24, inner2: Sequence[int] = (16, 24)
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(*(TinyBlock(stem, width, stem, 1) for width in inner1))
        self.layer2 = nn.Sequential(
            *(TinyBlock(out if i else stem, width, out, 1 if i else 2) for i, width in enumerate(inner2))
        )
        self.fc = nn.Linear(out, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Gives every weight and BatchNorm statistic a value of its own, so that no mistake stays hidden."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if not value.is_floating_point():
                continue
            noise = torch.randn(value.shape, generator=generator)
            if value.ndim > 1:
                value.copy_(noise / value[0].numel() ** 0.5)
            else:
                value.copy_(1 + 0.2 * noise.tanh() if name.endswith(("var", "weight")) else 0.2 * noise)
    return model.eval()


@pytest.fixture(scope="session", name="randomise")
def _randomise() -> Callable[..., nn.Module]:
    return randomise


@pytest.fixture(scope="session")
def make_tiny_resnet() -> Callable[..., TinyResNet]:
    """The hand-written network of any widths and depths: the oracle for sub-networks."""
    return TinyResNet


@pytest.fixture(scope="session")
def tiny_images() -> Tensor:
    """Shape (8, 3, 12, 12)."""
    return torch.randn(8, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def make_tiny_network(tiny_images: Tensor) -> Callable[..., ElasticNetwork]:
    """Makes a super-network of its own, for a test that changes it."""

    def make(width: tuple[float, ...] = (0.25, 0.5, 1.0), **options: object) -> ElasticNetwork:
        section = SpaceSection(width=width, **{"divisor": 4, **options})
        return supernet.generate(randomise(TinyResNet()), tiny_images[:1], section)

    return make


@pytest.fixture(scope="session")
def tiny_network(tiny_images: Tensor) -> ElasticNetwork:
    """The super-network of the small residual network; shared, so not to be changed."""
    section = SpaceSection(width=(0.25, 0.5, 1.0), divisor=4)
    return supernet.generate(randomise(TinyResNet()), tiny_images[:1], section)


@pytest.fixture(scope="session")
def sized_network() -> ElasticNetwork:
    """The small residual network for images of 16, 20 or 24 px; shared, so not to be changed."""
    section = SpaceSection(width=(0.5, 1.0), divisor=4, resolution=(16, 20))
    return supernet.generate(randomise(TinyResNet()), torch.zeros(1, 3, 24, 24), section)


@pytest.fixture(scope="session")
def sized_images() -> Tensor:
    """Shape (8, 3, 24, 24)."""
    return torch.randn(8, 3, 24, 24, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="session")
def sized_graphs(sized_network: ElasticNetwork, sized_images: Tensor) -> SlicedGraphs:
    """INT8 graphs of all its resolutions."""
    from supernet.sliced import SlicedGraphs

    return SlicedGraphs(sized_network, sized_images[:1], sized_images)


@pytest.fixture(scope="session")
def sized_bench(sized_graphs: SlicedGraphs) -> Bench:
    """Prepares its sub-networks, and has planned their kernels."""
    from profiling.preparation import Bench

    return Bench(sized_graphs, TARGET)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> None:
    """On a busy machine the threads of networks as small as these mostly wait for one another."""
    torch.set_num_threads(1)


FACTORY = """
from supernet.models.resnet import BasicBlock, ResNet

value = 3


def make():
    return ResNet(BasicBlock, (2, 1), widths=(16, 32), n_classes=10, small_images=True)


def make_trained():
    import torch

    model = make()
    model.bn1.running_mean = torch.linspace(-0.1, 0.1, 16)
    return model


def make_nothing():
    return None
"""


@pytest.fixture(scope="session")
def write_study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Path]]:
    """Writes the file of a tiny study, whose factory this process and those it starts can import.

    `changes` are further lines of a section: `train="epochs = 1"`.
    """
    home = tmp_path_factory.mktemp("importable")
    (home / "ovnas_tests_factory.py").write_text(FACTORY)

    def write(folder: Path, data: str = "digits", factory: str = "make", **changes: str) -> Path:
        sections = {
            "model": f'factory = "ovnas_tests_factory:{factory}"\ninput_shape = [3, 16, 16]',
            "data": f'name = "{data}"',
            "space": "width = [0.5, 1.0]\ndivisor = 4",
            "target": "threads = 1",
            "train": "pretrain_epochs = 6\nepochs = 4\nn_random = 1\nprecision = 'float32'",
            "search": "calibration_samples = 64\nmax_accuracy_drop = 100",
        }
        sections |= {name: f"{sections.get(name, '')}\n{text}" for name, text in changes.items()}
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "tiny.toml"
        path.write_text("\n".join(f"[{name}]\n{text}" for name, text in sections.items()) + "\n")
        return path

    root = Path(__file__).parents[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(home)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(root), str(home)]))
        yield write


@pytest.fixture
def failing(
    write_study: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a command on a tiny study in tmp_path, which must fail; returns its one line."""
    study = write_study(tmp_path, data="none")

    def run(main: Callable[[list[str]], int], *options: str) -> str:
        capsys.readouterr()
        assert main(["--study", str(study), "--runs-dir", str(tmp_path / "runs"), *options]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert err.startswith("error: ")
        return err

    return run


@pytest.fixture(scope="session")
def own_lock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Measuring in tests neither waits for a measurement on this machine nor hinders one."""
    from profiling.lock import measuring

    file = tmp_path_factory.mktemp("lock") / "ovnas-measuring.lock"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring.__wrapped__, "__defaults__", (file,))
        yield file


@pytest.fixture(scope="session")
def tiny_graphs(tiny_network: ElasticNetwork, tiny_images: Tensor) -> SlicedGraphs:
    """INT8 graphs of the small residual network."""
    from supernet.sliced import SlicedGraphs

    return SlicedGraphs(tiny_network, tiny_images[:1], tiny_images)


@pytest.fixture(scope="session")
def tiny_plan(tiny_graphs: SlicedGraphs) -> Plan:
    """The kernels of the small residual network's space."""
    from profiling.kernel import read_kernels
    from profiling.plan import make_plan
    from profiling.target import compile_model

    maximal = compile_model(tiny_graphs.model(tiny_graphs.space.largest), TARGET)
    return make_plan(tiny_graphs, read_kernels(maximal))


TARGET = {"mode": "latency", "threads": 1, "streams": 1, "batch": 1}


class KnownLatency:
    """Measurements of a machine whose law is known: kernels cost their MACs (one microsecond without
    any), an inference 5 us more; the machine's speed drifts, and its counters say 1.3 times too much."""

    target = TARGET
    overhead_us = 5.0

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._found: dict[int, list[Architecture]] = {}

    def kernel_us(self, kernel: Kernel) -> float:
        return 1e-4 * kernel.macs or 1.0

    def latency_us(self, architecture: Architecture) -> float:
        return self.overhead_us + sum(map(self.kernel_us, self.plan.of(architecture)))

    def architectures(self, n: int, seed: int = 0) -> list[Architecture]:
        from profiling.coverage import space_filling

        found = self._found.setdefault(seed, [])
        if n > len(found):
            filling = space_filling(self.plan.space, np.random.default_rng(seed))
            found[:] = itertools.islice(filling, n)
        return found[:n]

    def rounds(self, architecture: Architecture, seed: int = 0, scale: float = 1.0) -> list[Round]:
        from profiling.timing import Round

        drift = np.random.default_rng(seed).permutation(np.linspace(0.8, 1.2, 5))
        own, anchor = scale * self.latency_us(architecture), self.latency_us(self.plan.space.largest)
        return [
            Round(*(np.full(4, us * d, np.float32) for us in (own, anchor, anchor)), 0.5, False)
            for d in drift
        ]

    def kernels(self, architecture: Architecture) -> list[KernelTime]:
        from profiling.store import KernelTime

        return [
            KernelTime(
                *(f"layer{i}", f"node{i}", "jit", "nchw", "nhwc", (f"conv{i}", f"relu{i}")),
                kernel,
                1.3 * self.kernel_us(kernel),
            )
            for i, kernel in enumerate(self.plan.of(architecture))
        ]

    def meta(self, **changes: object) -> dict[str, object]:
        from profiling.machine import read_machine

        facts = {"study": "tiny", "machine": read_machine(), "target": self.target}
        peak = {"int8_gops": 200.0, "f32_gops": 50.0, "bandwidth_gbs": 20.0}
        return {
            **facts,
            "properties": {},
            "peak": peak,
            "plan": self.plan.to_json(),
            "overhead_us": self.overhead_us,
            **changes,
        }

    def write(self, path: Path, n: int, n_repeated: int = 0) -> Path:
        """A store of `n` networks, `n_repeated` of them 1 % slower in a second process."""
        from profiling.store import Store

        with Store.create_or_open(path, self.meta()) as store:
            for i, architecture in enumerate(self.architectures(n)):
                store.add(architecture, self.rounds(architecture, i), self.kernels(architecture), 0.1)
                if i < n_repeated:
                    store.add_repeat(architecture, self.rounds(architecture, i, 1.01))
        return path


@pytest.fixture(scope="session")
def known(tiny_plan: Plan) -> KnownLatency:
    """Synthetic measurements of the small residual network."""
    return KnownLatency(tiny_plan)


@pytest.fixture(scope="session")
def in_other_process() -> Callable[..., str]:
    """Runs code with the repository importable and another hash seed; returns what it prints."""

    def run(code: str, *argv: object, hash_seed: int = 1) -> str:
        root = Path(__file__).parents[1]
        search = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
        env = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": search}
        command = [sys.executable, "-c", code, *map(str, argv)]
        return subprocess.run(command, env=env, text=True, check=True, stdout=subprocess.PIPE).stdout

    return run


@pytest.fixture(scope="session")
def load_benchmark() -> Callable[[str], ModuleType]:
    """Imports a script of benchmarks/, which is no package."""
    folder = Path(__file__).parents[1] / "benchmarks"

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(folder))
            patch.setitem(sys.modules, spec.name, module)
            spec.loader.exec_module(module)
        return module

    return load
