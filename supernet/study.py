"""A study: one TOML file that says what to build, from what, for which target.

Pure data. Every room reads its own section; everything that a study produces lies in `runs/<name>/`.
"""

from __future__ import annotations

import math
import re
import tomllib
import types
import typing
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from supernet.errors import OvnasError, nearest
from supernet.study_rules import broken_rule

__all__ = [
    "DATA_VARIABLE",
    "DataSection",
    "ModelSection",
    "ProfilingSection",
    "SearchSection",
    "SpaceSection",
    "StageSection",
    "Study",
    "TargetSection",
    "TrainSection",
    "shipped_studies",
]


# By its place, not by name: a folder `studies` of the user's would be found first.
SHIPPED = Path(__file__).resolve().parent.parent / "studies"
_KINDS = ("kernel", "depth", "width")


@dataclass(frozen=True)
class ModelSection:
    """`factory` is "package.module:function" of a torch module; `weights` a .safetensors or .pth file."""

    factory: str
    input_shape: tuple[int, ...]
    weights: str = ""


# Of the environment: where the images are that a study does not say the path of.
DATA_VARIABLE = "OVNAS_DATA"


@dataclass(frozen=True)
class DataSection:
    """`name` is the source of the images.

    "digits": embedded. "cifar10": `path` holds {train,test}/class/ or the binary batches; its images are
    resized to [model] input_shape, after augmentation. "folder":
    `path` holds {train,validation,test}/class/. "custom": `factory`, "package.module:function", returns
    `supernet.data.Splits`. An empty `path` is taken from the environment variable OVNAS_DATA.
    `workers`: processes that decode images (-1: one a CPU, four at most, and none for "custom"; 0: none).
    """

    name: Literal["digits", "cifar10", "folder", "custom", "none"] = "none"
    path: str = ""
    factory: str = ""
    workers: int = -1


@dataclass(frozen=True)
class SpaceSection:
    """Which sub-networks to allow.

    `width`: ratios for every free channel group. `expand`: if given, one ratio a block of its inner
    channels to its output channels, in place of free inner groups. `max_dropped`: blocks that may be
    dropped from the end of each run (-1: all). `kernel`: odd sides that the kernels longer than 3 may be
    cropped to; none by default, for cropped kernels need training before they are worth measuring.
    `resolution`: sides in px that a square input may have besides the model's own; none by default, for they
    need training too.
    `exclude`: layers, by name or pattern ("layer1.*"), whose output channels and kernels stay and that are
    never skipped. `min_channels`: what every free group keeps at least.
    """

    width: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    expand: tuple[float, ...] = ()
    divisor: int = 8
    max_dropped: int = -1
    kernel: tuple[int, ...] = ()
    resolution: tuple[int, ...] = ()
    exclude: tuple[str, ...] = ()
    min_channels: int = 1


@dataclass(frozen=True)
class StageSection:
    """One stage of super-network training: the kinds of choices that are open in it; the others stay at
    their largest. "width" opens inner ratios too; resolutions are open in every stage. The order of kinds
    says nothing, and is always the same."""

    open: tuple[Literal["kernel", "depth", "width"], ...]
    epochs: int
    learning_rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "open", tuple(sorted(self.open, key=_KINDS.index)))


@dataclass(frozen=True)
class TrainSection:
    """Pre-training (where no weights are given) and super-network training.

    `pretrain_epochs` = 0: the factory's model is the pre-trained one, as it comes.
    `stages` follow one another, each with a schedule of its own; without them there is one of `epochs`
    and `learning_rate` with everything open. A step trains the largest, the smallest and `n_random`
    random sub-networks. `distillation`: who says what they shall answer, the pre-trained "teacher" or,
    "in-place", the largest; `label_weight` is the labels' beside that, not smoothed, for the teacher is.
    `mixup`: how strongly images are mixed (`supernet.mixup`); in pre-training they are not.
    `warm_up_epochs`: a tenth of a stage at most. `max_gradient_norm` and `ema_decay` (of averaged weights):
    0 is off, of `mixup` too. `precision`: "auto" takes what is faster here.
    """

    pretrain_epochs: int = 20
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 0.05
    pretrain_learning_rate: float = 0.1
    weight_decay: float = 5e-4
    n_random: int = 2
    stages: tuple[StageSection, ...] = ()
    distillation: Literal["teacher", "in-place", "none"] = "teacher"
    label_weight: float = 0.5
    label_smoothing: float = 0.1
    mixup: float = 0.0
    warm_up_epochs: float = 1.0
    max_gradient_norm: float = 5.0
    ema_decay: float = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    checkpoint_minutes: float = 10.0

    @property
    def all_stages(self) -> tuple[StageSection, ...]:
        """The stages, or the one that stands for none."""
        whole = StageSection(("kernel", "depth", "width"), self.epochs, self.learning_rate)
        return self.stages or (whole,)


@dataclass(frozen=True)
class TargetSection:
    """Where and how the network shall run.

    `mode` "latency": one inference at a time, on all threads. `mode` "throughput": `streams` inferences
    at a time, the threads shared among them. `threads` 0: what affinity and cgroup quota allow, physical
    cores first; `streams` 0: one in latency mode, one a thread in throughput mode.
    """

    mode: Literal["latency", "throughput"] = "latency"
    threads: int = 0
    streams: int = 0
    batch: int = 1


@dataclass(frozen=True)
class ProfilingSection:
    """`budget` is a time ("90s", "5m") or a number of networks ("200")."""

    budget: str = "5m"


@dataclass(frozen=True)
class SearchSection:
    """`evaluations` counts real accuracy evaluations; each judges on `evaluation_samples` images of the
    validation split, evenly spread (0: all).

    `finetune_epochs`: how long each finalist is trained on, alone, before it is built.

    Constraints: `max_accuracy_drop` in points below the pre-trained model; `max_latency` ("8ms"), `max_macs`
    ("40M") and `max_size` ("2MB") where they are not empty; `min_speedup` where it is not 0.
    """

    algorithm: str = "guided"
    objectives: tuple[
        Literal["accuracy", "latency", "throughput", "macs", "parameters", "model_size"], ...
    ] = ("accuracy", "latency")
    evaluations: int = 100
    evaluation_samples: int = 0
    finalists: int = 8
    calibration_samples: int = 850
    finetune_epochs: int = 0
    max_accuracy_drop: float = 1.0
    max_latency: str = ""
    min_speedup: float = 0.0
    max_macs: str = ""
    max_size: str = ""


Section = TypeVar("Section")


@dataclass(frozen=True)
class Study:
    """One study. `name` is the file's stem."""

    name: str
    model: ModelSection
    data: DataSection = field(default_factory=DataSection)
    space: SpaceSection = field(default_factory=SpaceSection)
    train: TrainSection = field(default_factory=TrainSection)
    target: TargetSection = field(default_factory=TargetSection)
    profiling: ProfilingSection = field(default_factory=ProfilingSection)
    search: SearchSection = field(default_factory=SearchSection)

    @classmethod
    def load(cls, name_or_file: str) -> Study:
        """A shipped study by its name, or any TOML file by its path.

        Raises OvnasError for an unknown study, a file that is no TOML, an unknown key (naming the
        nearest) and a value of the wrong type or range.
        """
        path = Path(name_or_file)
        if path.suffix == ".toml":
            if not path.is_file():
                raise OvnasError(f"there is no study file {name_or_file!r}")
            try:
                text = path.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise OvnasError(f"study {name_or_file}: not valid TOML: {error}") from None
            return cls.parse(path.stem, text, source=name_or_file)
        shipped = SHIPPED / f"{name_or_file}.toml"
        if not re.fullmatch(r"[\w-]+", name_or_file) or not shipped.is_file():
            raise OvnasError(
                f"there is no study {name_or_file!r}{nearest(name_or_file, shipped_studies())}"
                " (or give the path of a .toml file)"
            )
        return cls.parse(name_or_file, shipped.read_text(encoding="utf-8"), source=name_or_file)

    @classmethod
    def parse(cls, name: str, text: str, *, source: str) -> Study:
        """Reads the TOML `text`; `source` names it in errors."""
        if not re.fullmatch(r"[\w-]+", name):
            raise OvnasError(f"a study's file name must be letters, digits, '-' and '_', got {name!r}")
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise OvnasError(f"study {source}: not valid TOML: {error}") from None
        sections = {f.name: f for f in fields(cls) if f.name != "name"}
        for key in tables:
            if key not in sections:
                raise OvnasError(f"study {source}: unknown section [{key}]{nearest(key, sections)}")
        hints = typing.get_type_hints(cls)
        values = {
            key: _section(hints[key], tables.get(key, {}), f"study {source}: [{key}]") for key in sections
        }
        study = cls(name=name, **values)
        if (rule := broken_rule(study)) is not None:
            raise OvnasError(f"study {source}: {rule}")
        return study


def shipped_studies() -> list[str]:
    """Names of the studies that come with ovnas."""
    return sorted(p.stem for p in SHIPPED.glob("*.toml"))


def _section(kind: type[Section], table: Any, where: str) -> Section:
    if not isinstance(table, dict):
        raise OvnasError(f"{where} must be a table, but got {table!r}")
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    for key in table:
        if key not in known:
            raise OvnasError(f"{where}: unknown key {key!r}{nearest(key, known)}")
    for key, spec in known.items():
        if key not in table and spec.default is MISSING and spec.default_factory is MISSING:
            raise OvnasError(f"{where}: the key {key!r} is missing")
    return kind(**{key: _value(hints[key], v, f"{where}: {key!r}") for key, v in table.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin is Literal:
        allowed = typing.get_args(kind)
        if value not in allowed:
            raise OvnasError(f"{where} must be one of {', '.join(allowed)}, but got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise OvnasError(f"{where} must be a list, but got {value!r}")
        (item, _) = typing.get_args(kind)
        if isinstance(item, type) and is_dataclass(item):
            return tuple(_section(item, v, f"{where} {i}") for i, v in enumerate(value, 1))
        return tuple(_value(item, v, where) for v in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(kind, types.UnionType) or not isinstance(value, kind) or isinstance(value, bool):
        names = {int: "a whole number", float: "a number", str: "a text in quotes"}
        raise OvnasError(f"{where} must be {names.get(kind, kind)}, but got {value!r}")
    if kind is float and not math.isfinite(value):
        raise OvnasError(f"{where} must be finite, but got {value!r}")
    return value
