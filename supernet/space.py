"""The pure description of what could be built: slots to choose, channel groups, layers.

No torch here: everything to the right of `supernet` works on this description and on integer arrays.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from supernet.architecture import Architecture
from supernet.errors import OvnasError

__all__ = ["Block", "Dim", "Group", "Layer", "Segment", "Slot", "Space", "make_divisible"]

Kind = Literal["width", "expand", "depth", "kernel", "resolution"]
KINDS: tuple[Kind, ...] = ("width", "expand", "depth", "kernel", "resolution")
_MEANINGS: dict[Kind, str] = {
    "depth": "blocks kept",
    "width": "units of channels",
    "expand": "inner / outer channels",
    "kernel": "side of the kernel",
    "resolution": "side of the input, px",
}
Codes = NDArray[np.int64]
# Deviation of an architecture's choices from their common level, as a part of each slot's range.
LEVEL_SPREAD = 0.15


def make_divisible(value: float, divisor: int) -> int:
    """`value` rounded to a multiple of `divisor`, never by more than a tenth downwards.

    The rule of MobileNet's reference code, which the MLPerf v2.0 sub-networks follow too.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


@dataclass(frozen=True)
class Block:
    """A place in a run of skippable blocks: alive when depth slot `slot` keeps more than `position`."""

    slot: int
    position: int


@dataclass(frozen=True)
class Slot:
    """One choice. `choices` ascend; the last one is the pre-trained model's. A space has one slot of kind
    "resolution" at most: sides of the square input in px."""

    name: str
    kind: Kind
    choices: tuple[float, ...]
    block: Block | None = None

    @property
    def texts(self) -> list[str]:
        """For a table: its name, what it counts, its values."""
        return [self.name, _MEANINGS[self.kind], " ".join(f"{choice:g}" for choice in self.choices)]


@dataclass(frozen=True)
class Group:
    """Channels that must shrink together, counted in units (see `Segment`).

    `slot` is None for a fixed group, and `reason` says why. A group with a `parent` has an expand slot:
    its size is the chosen ratio of the parent group's size.
    """

    name: str
    n_units: int
    slot: int | None
    parent: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Segment:
    """`per_unit` consecutive elements for each unit of `group`, or `per_unit` fixed ones (group None)."""

    group: int | None
    per_unit: int


Dim = tuple[Segment, ...]
"""One dimension of a tensor: its segments, one after the other."""


@dataclass(frozen=True)
class Layer:
    """What the model's author wrote: a convolution or a linear layer with symbolic channels.

    `in_per_group` is the fixed number of input channels of each convolution group, or None for a dense
    layer, which sees all of `inputs`. `n_positions` is the number of output pixels of one image (input
    pixels of a transposed convolution), for the largest input; `positions_at` has (side of the input,
    that number) for each where the input has several resolutions. A kernel with a slot is cropped to the
    chosen side where it is longer.
    """

    name: str
    op: Literal["conv", "linear"]
    inputs: Dim
    outputs: Dim
    in_per_group: int | None
    kernel: tuple[int, int]
    n_positions: int
    block: Block | None
    kernel_slot: int | None = None
    positions_at: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Space:
    """All the sub-networks of one super-network.

    Bulk functions take `codes`: an integer array of shape (n_architectures, n_slots) with the index of
    each slot's choice, in the slots' order.
    """

    slots: tuple[Slot, ...]
    groups: tuple[Group, ...]
    layers: tuple[Layer, ...]
    divisor: int

    @cached_property
    def largest(self) -> Architecture:
        """The pre-trained model."""
        return self.decode([len(slot.choices) - 1 for slot in self.slots])

    @cached_property
    def smallest(self) -> Architecture:
        """The first choice of every slot."""
        return self.decode([0] * len(self.slots))

    @cached_property
    def log10_size(self) -> float:
        """log10 of the number of different architectures (inner choices of dropped blocks not counted)."""
        free = math.prod(len(s.choices) for s in self.slots if s.kind != "depth" and s.block is None)
        runs = 1
        for index, slot in enumerate(self.slots):
            if slot.kind == "depth":
                ways = [
                    math.prod(
                        len(s.choices)
                        for s in self.slots
                        if s.block is not None and s.block.slot == index and s.block.position < kept
                    )
                    for kept in slot.choices
                ]
                runs *= sum(ways)
        return math.log10(free * runs)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """One architecture, each slot's choice uniform."""
        return self.decode(self.sample_codes(1, rng)[0])

    def sample_codes(self, n: int, rng: np.random.Generator) -> Codes:
        """Canonical codes of `n` uniform architectures, shape (n, n_slots)."""
        sizes = [len(slot.choices) for slot in self.slots]
        return self.canonical(rng.integers(0, sizes, size=(n, len(sizes))))

    def codes_around(self, levels: NDArray[np.float64], rng: np.random.Generator) -> Codes:
        """Canonical codes of architectures whose choices lie around levels, from 0 (the smallest) to 1 (the
        largest): one of all of its choices, shape (n, 1), or one each, (n, n_slots). Uniform choices would
        all be of middle size. Shape (n, n_slots)."""
        top = np.array([len(slot.choices) - 1 for slot in self.slots])
        wanted = levels + rng.normal(0, LEVEL_SPREAD, (len(levels), len(top)))
        return self.canonical(np.clip(np.round(wanted * top), 0, top).astype(np.int64))

    def canonical(self, codes: Codes) -> Codes:
        """`codes` with the choices inside dropped blocks set to the largest, so that equal networks are
        equal codes. Returns a new array."""
        codes = np.array(codes, dtype=np.int64)
        for index, slot in enumerate(self.slots):
            if slot.block is not None:
                codes[~self._alive(slot.block, codes), index] = len(slot.choices) - 1
        return codes

    def encode(self, architecture: Architecture) -> tuple[int, ...]:
        """The index of the choice of every slot. Raises OvnasError if it is not a member."""
        queues = {kind: list(getattr(architecture, kind)) for kind in KINDS}
        codes = []
        for slot in self.slots:
            if not queues[slot.kind]:
                raise OvnasError(f"{architecture} is too short for this space: no {slot.name!r}")
            value = queues[slot.kind].pop(0)
            matches = [i for i, c in enumerate(slot.choices) if math.isclose(c, value, rel_tol=1e-5)]
            if not matches:
                allowed = ", ".join(f"{c:g}" for c in slot.choices)
                raise OvnasError(
                    f"{architecture} is no member of this space: {slot.name!r} is {value:g}, but must be "
                    f"one of {allowed}"
                )
            codes.append(matches[0])
        if any(queues.values()):
            raise OvnasError(f"{architecture} is too long for this space")
        return tuple(int(v) for v in self.canonical(np.array([codes]))[0])

    def encode_all(self, architectures: Iterable[Architecture]) -> Codes:
        """Codes of many architectures, shape (n_architectures, n_slots)."""
        rows = [self.encode(a) for a in architectures]
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(self.slots))

    def decode(self, codes: Sequence[int] | Codes) -> Architecture:
        """The (canonical) architecture of one row of codes."""
        row = self.canonical(np.asarray(codes)[None])[0]
        values: dict[str, list[Any]] = {kind: [] for kind in KINDS}
        for slot, code in zip(self.slots, row, strict=True):
            choice = slot.choices[code]
            values[slot.kind].append(choice if slot.kind == "expand" else int(choice))
        return Architecture(**{kind: tuple(chosen) for kind, chosen in values.items()})

    def group_sizes(self, codes: Codes) -> NDArray[np.int64]:
        """Units of every group, shape (n_architectures, n_groups)."""
        sizes = np.empty((len(codes), len(self.groups)), dtype=np.int64)
        for index, group in enumerate(self.groups):
            if group.slot is None:
                sizes[:, index] = group.n_units
            elif group.parent is None:
                choices = np.array(self.slots[group.slot].choices, dtype=np.int64)
                sizes[:, index] = choices[codes[:, group.slot]]
        for index, group in enumerate(self.groups):
            if group.slot is not None and group.parent is not None:
                ratios = np.array(self.slots[group.slot].choices)[codes[:, group.slot]]
                wanted = np.round(sizes[:, group.parent] * ratios)
                sizes[:, index] = [
                    min(group.n_units, make_divisible(value, self.divisor)) for value in wanted
                ]
        return sizes

    def is_free(self, dim: Dim) -> bool:
        """Whether any of the channels of `dim` can be chosen."""
        return any(s.group is not None and self.groups[s.group].slot is not None for s in dim)

    def units(self, architecture: Architecture) -> tuple[int, ...]:
        """Units of every group of one architecture."""
        row = self.group_sizes(np.array([self.encode(architecture)]))[0]
        return tuple(int(v) for v in row)

    def kept(self, architecture: Architecture) -> dict[int, int]:
        """Blocks kept, by the index of the depth slot."""
        depth_slots = [i for i, slot in enumerate(self.slots) if slot.kind == "depth"]
        return dict(zip(depth_slots, architecture.depth, strict=True))

    def kernels(self, architecture: Architecture) -> dict[int, int]:
        """Sides of elastic kernels, by the index of their slot."""
        kernel_slots = [i for i, slot in enumerate(self.slots) if slot.kind == "kernel"]
        return dict(zip(kernel_slots, architecture.kernel, strict=True))

    @cached_property
    def resolution_slot(self) -> int | None:
        """The index of the slot of kind "resolution", if there is one."""
        return next((i for i, slot in enumerate(self.slots) if slot.kind == "resolution"), None)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Sides of the input in px, ascending; empty where there is no choice."""
        return (
            () if self.resolution_slot is None else tuple(map(int, self.slots[self.resolution_slot].choices))
        )

    def resolution(self, architecture: Architecture) -> int | None:
        """The side of an architecture's input in px; None where there is no choice. Raises as `encode`."""
        if self.resolution_slot is None:
            return None
        return self.resolutions[self.encode(architecture)[self.resolution_slot]]

    def has_resolution(self, side: int | None, codes: Codes) -> NDArray[np.bool_]:
        """Whether the input has this side (None: any), shape (n_architectures,)."""
        if side is None or self.resolution_slot is None:
            return np.ones(len(codes), dtype=bool)
        return np.asarray(np.array(self.resolutions)[codes[:, self.resolution_slot]] == side)

    def positions(self, layer: Layer, codes: Codes) -> NDArray[np.int64]:
        """The layer's `n_positions` at the chosen resolution, shape (n_architectures,)."""
        if self.resolution_slot is None:
            return np.full(len(codes), layer.n_positions, dtype=np.int64)
        at = dict(layer.positions_at)
        return np.array([at[side] for side in self.resolutions])[codes[:, self.resolution_slot]]

    def alive(self, block: Block | None, codes: Codes) -> NDArray[np.bool_]:
        """Whether a block is kept, shape (n_architectures,)."""
        return np.ones(len(codes), dtype=bool) if block is None else self._alive(block, codes)

    def _alive(self, block: Block, codes: Codes) -> NDArray[np.bool_]:
        kept = np.array(self.slots[block.slot].choices)[codes[:, block.slot]]
        return np.asarray(kept > block.position)

    def macs(self, architecture: Architecture) -> int:
        """Multiply-accumulates of one inference of one image (convolutions and linear layers)."""
        return int(self.macs_of(np.array([self.encode(architecture)]))[0])

    def macs_of(self, codes: Codes) -> NDArray[np.int64]:
        """Multiply-accumulates of an image, shape (n_architectures,)."""
        sizes = self.group_sizes(codes)
        total = np.zeros(len(codes), dtype=np.int64)
        for layer in self.layers:
            seen: NDArray[np.int64] | int = layer.in_per_group or dim_size(layer.inputs, sizes)
            area = self.kernel_sides(layer.kernel, layer.kernel_slot, codes).prod(axis=1)
            macs = self.positions(layer, codes) * area * seen * dim_size(layer.outputs, sizes)
            total += np.where(self.alive(layer.block, codes), macs, 0)
        return total

    def kernel_sides(
        self, kernel: tuple[int, int], kernel_slot: int | None, codes: Codes
    ) -> NDArray[np.int64]:
        """Height and width of a kernel, cropped as chosen: shape (n_architectures, 2)."""
        whole = np.tile(np.array(kernel, dtype=np.int64), (len(codes), 1))
        if kernel_slot is None:
            return whole
        chosen = np.array(self.slots[kernel_slot].choices, dtype=np.int64)[codes[:, kernel_slot]]
        return np.minimum(whole, chosen[:, None])

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` reads back."""
        value = asdict(self)
        for layer in value["layers"]:
            if layer["kernel_slot"] is None:  # as in files from before there were any
                del layer["kernel_slot"]
            if not layer["positions_at"]:
                del layer["positions_at"]
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Space:
        """Reads `to_json`'s value. Raises OvnasError if it is something else."""
        try:
            return cls(
                slots=tuple(
                    Slot(s["name"], s["kind"], tuple(s["choices"]), _block(s["block"]))
                    for s in value["slots"]
                ),
                groups=tuple(Group(**g) for g in value["groups"]),
                layers=tuple(
                    Layer(
                        **{
                            **layer,
                            "inputs": dim_from_json(layer["inputs"]),
                            "outputs": dim_from_json(layer["outputs"]),
                            "kernel": tuple(layer["kernel"]),
                            "block": _block(layer["block"]),
                            "positions_at": tuple(map(tuple, layer.get("positions_at", ()))),
                        }
                    )
                    for layer in value["layers"]
                ),
                divisor=value["divisor"],
            )
        except (KeyError, TypeError) as error:
            raise OvnasError(f"this is not the JSON of a space: {error}") from None

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of the whole description: equal for equal spaces only."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def dim_size(dim: Dim, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Elements of `dim` for group sizes of shape (n_architectures, n_groups): shape (n_architectures,)."""
    total = np.zeros(len(sizes), dtype=np.int64)
    for segment in dim:
        units = 1 if segment.group is None else sizes[:, segment.group]
        total += segment.per_unit * units
    return total


def dim_from_json(value: Iterable[dict[str, Any]]) -> Dim:
    """Reads a `Dim` from the JSON value of its dataclasses."""
    return tuple(Segment(s["group"], s["per_unit"]) for s in value)


def _block(value: dict[str, int] | None) -> Block | None:
    return None if value is None else Block(**value)
