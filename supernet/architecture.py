"""One point of a space."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from supernet.errors import OvnasError

__all__ = ["Architecture"]

_MAX_NAME = 200  # file systems allow 255 bytes, ending included
_TEXT = re.compile(
    r"w(?P<width>[\d-]*)(_e(?P<expand>[\d.-]+))?(_d(?P<depth>[\d-]+))?(_k(?P<kernel>[\d-]+))?"
    r"(_r(?P<resolution>\d+))?"
)


@dataclass(frozen=True, order=True)
class Architecture:
    """The choices that make one sub-network, each tuple in the order of its space's slots.

    `width`: channels of each free channel group. `expand`: ratio of a block's inner channels to its
    output channels. `depth`: blocks kept in each run of skippable blocks. `kernel`: side of each elastic
    kernel. `resolution`: the side of the input in px, where there are several.
    `str()` gives a stable text that `parse` reads back, ``w40-168_e0.2-0.25_d2-3_k3-5_r192``; `file_name` is
    that, as short as file systems want it.
    """

    width: tuple[int, ...] = ()
    expand: tuple[float, ...] = ()
    depth: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()
    resolution: tuple[int, ...] = ()

    def __str__(self) -> str:
        parts = ["w" + "-".join(map(str, self.width))]
        if self.expand:
            parts.append("e" + "-".join(f"{ratio:g}" for ratio in self.expand))
        if self.depth:
            parts.append("d" + "-".join(map(str, self.depth)))
        if self.kernel:
            parts.append("k" + "-".join(map(str, self.kernel)))
        parts += [f"r{side}" for side in self.resolution]
        return "_".join(parts)

    @property
    def file_name(self) -> str:
        """The text, its end in place of a digest where it is too long for a file's name."""
        text = str(self)
        if len(text) <= _MAX_NAME:
            return text
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"{text[: _MAX_NAME - 13]}-{digest}"

    @classmethod
    def parse(cls, text: str) -> Architecture:
        """Reads the text form. Raises OvnasError for any other text."""
        match = _TEXT.fullmatch(text.strip())
        try:
            if match is None:
                raise ValueError
            return cls(
                width=tuple(int(v) for v in (match["width"] or "").split("-") if v),
                expand=tuple(float(v) for v in (match["expand"] or "").split("-") if v),
                depth=tuple(int(v) for v in (match["depth"] or "").split("-") if v),
                kernel=tuple(int(v) for v in (match["kernel"] or "").split("-") if v),
                resolution=() if match["resolution"] is None else (int(match["resolution"]),),
            )
        except ValueError:
            raise OvnasError(
                f"an architecture reads like 'w40-168_e0.2-0.25_d2-3_k3-5_r192', but got {text!r}"
            ) from None
