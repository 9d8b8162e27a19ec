"""Files of tensors or JSON that are written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from supernet.errors import OvnasError
from supernet.replacing import replacing

__all__ = ["load_state", "read_json", "save_state", "write_json", "write_partial_json", "write_partial_state"]

HEADER = "ovnas"


def read_json(path: Path) -> Any:
    """A file's value, or None where there is none or it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_json(value: Any, path: Path) -> None:
    """Writes JSON whole or not at all."""
    with replacing(path) as (partial,):
        write_partial_json(value, partial)


def save_state(state: dict[str, Tensor], path: Path, *, facts: dict[str, Any] | None = None) -> None:
    """Writes a .safetensors file whole or not at all; tied weights stand under each of their names.

    `facts` go into its header, as JSON, so that they and the tensors are always of one moment.
    """
    with replacing(path) as (partial,):
        write_partial_state(state, partial, {} if facts is None else {HEADER: json.dumps(facts)})


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file and the facts of its header. Raises OvnasError if it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[HEADER])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise OvnasError(f"{path} is damaged: {error}") from None


def write_partial_json(value: Any, path: Path) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_partial_state(state: dict[str, Tensor], path: Path, header: dict[str, str] | None = None) -> None:
    own = {name: v.detach().clone(memory_format=torch.contiguous_format) for name, v in state.items()}
    try:
        save_file(own, path, header or None)
    except SafetensorError as error:  # it reports a full disk so
        raise OvnasError(f"{path} cannot be written: {error}") from None
