"""Intel's open submission to MLPerf Inference v2.0: ResNet-50 and three sub-networks of it, as published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import numpy as np

from supernet.architecture import Architecture
from supernet.errors import OvnasError
from supernet.space import Space

__all__ = ["BASELINE", "Published", "load_published", "member_of"]

BASELINE = "TV"


@dataclass(frozen=True)
class Published:
    """One network. `outs` are output channels by stage, `mids` the inner channels of each block kept; its
    results are on two Xeon Platinum 8380."""

    name: str
    stem: int
    outs: tuple[int, ...]
    mids: tuple[tuple[int, ...], ...]
    macs: int
    top1_int8: float
    offline_sps: float
    server_qps: float

    @property
    def label(self) -> str:
        """For tables."""
        return "ResNet-50" if self.name == BASELINE else self.name


def load_published() -> dict[str, Published]:
    """All four by name, ResNet-50 (`BASELINE`) first."""
    text = resources.files("search").joinpath("data", "mlperf_v20.json").read_text(encoding="utf-8")
    models: Mapping[str, dict[str, object]] = json.loads(text)["models"]
    return {name: _published(name, value) for name, value in models.items()}


def _published(name: str, value: dict[str, object]) -> Published:
    fields: dict[str, object] = {**value, "name": name, "outs": tuple(value["outs"])}  # type: ignore[arg-type]
    fields["mids"] = tuple(map(tuple, value["mids"]))  # type: ignore[call-overload]
    return Published(**fields)  # type: ignore[arg-type]


def member_of(space: Space, network: Published) -> Architecture:
    """The member of the submission's space that has the published widths.

    Raises OvnasError if the space has none.
    """
    wanted = {"conv1": network.stem}
    for stage, (out, mids) in enumerate(zip(network.outs, network.mids, strict=True), start=1):
        wanted[f"layer{stage}.0.conv3"] = out
        for block, mid in enumerate(mids):
            wanted |= {f"layer{stage}.{block}.conv{conv}": mid for conv in (1, 2)}
    codes = np.array([len(slot.choices) - 1 for slot in space.slots])
    kept = iter(len(mids) - 1 for mids in network.mids)  # the first block of a stage cannot be dropped
    for index, slot in enumerate(space.slots):
        if slot.kind == "depth":
            codes[index] = slot.choices.index(next(kept))
    # Parents first: an inner group's size follows from its outer one's.
    order = sorted(range(len(space.groups)), key=lambda i: space.groups[i].parent is not None)
    for index in order:
        group = space.groups[index]
        if group.slot is None or group.name not in wanted:
            continue
        for code in range(len(space.slots[group.slot].choices)):
            codes[group.slot] = code
            if space.group_sizes(codes[None])[0, index] == wanted[group.name]:
                break
        else:
            raise OvnasError(f"this space has no {network.label}: {group.name} is never {wanted[group.name]}")
    found = space.decode(codes)
    if space.macs(found) != network.macs:
        raise OvnasError(f"{network.label} has {network.macs} MACs, but {found} {space.macs(found)}")
    return found
