"""Weights that a user brings: read without running any code, held against the model key by key."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from supernet.errors import OvnasError

__all__ = ["load_start", "load_weights"]

# Where training scripts keep a state dict among other things, and what DataParallel adds to its names.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_OF_PARALLEL = "module."


def load_weights(model: nn.Module, path: Path) -> None:
    """Loads a .safetensors file, or a .pth one without running any code that it may hold.

    Raises OvnasError for a missing or unreadable file and lists the keys that do not fit.
    """
    state = _read_weights(path, model)
    faults = _misfits(model, state)
    if any(faults.values()):
        raise OvnasError(f"{path} does not fit the model: {_listed(faults)}")
    model.load_state_dict(state, strict=False)


def load_start(model: nn.Module, path: Path) -> list[str]:
    """Loads the weights of the same network for other classes: all but its last layer, which stays as it is.

    Returns the keys that stay. Raises OvnasError as `load_weights` does, for keys of other layers.
    """
    state = _read_weights(path, model)
    last = [name for name, module in model.named_modules() if module._parameters][-1]
    own = {f"{last}.{name}" if last else name for name in model.get_submodule(last).state_dict()}
    state = {name: value for name, value in state.items() if name not in own}
    faults = _misfits(model, state)
    faults["missing"] = [name for name in faults["missing"] if name not in own]
    if any(faults.values()):
        raise OvnasError(f"{path} does not fit the model, its last layer ({last}) aside: {_listed(faults)}")
    model.load_state_dict(state, strict=False)
    return sorted(own)


def _read_weights(path: Path, model: nn.Module) -> dict[str, Tensor]:
    if not path.is_file():
        raise OvnasError(f"there is no weights file {path}")
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise OvnasError(f"{path} cannot be read as weights: {error}") from None
    except Exception:  # torch's own words advise to run the file's code
        raise OvnasError(
            f"{path} holds more than tensors and is not loaded; save model.state_dict() alone"
        ) from None
    if isinstance(state, dict):
        state = next((state[name] for name in _WRAPPERS if _is_state(state.get(name))), state)
    if not _is_state(state):
        raise OvnasError(f"{path} must hold a state dict, tensors by name, but holds something else")
    named: dict[str, Tensor] = state
    is_wrapped = all(name.startswith(_OF_PARALLEL) for name in named)
    if is_wrapped and not any(name.startswith(_OF_PARALLEL) for name in model.state_dict()):
        return {name.removeprefix(_OF_PARALLEL): value for name, value in named.items()}
    return named


def _is_state(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items()
    )


def _misfits(model: nn.Module, state: dict[str, Tensor]) -> dict[str, list[str]]:
    """The keys that do not fit, by what is wrong with them."""
    own = model.state_dict()
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    return {
        "missing": sorted(set(own) - set(state) - counters),
        "unknown": sorted(set(state) - set(own)),
        "of another shape": sorted(n for n in set(own) & set(state) if own[n].shape != state[n].shape),
    }


def _listed(faults: dict[str, list[str]]) -> str:
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in faults.items() if names)
