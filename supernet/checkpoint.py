"""A study's model and super-network on disk: `runs/<study>/supernet/`."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, fx, nn

from supernet.architecture import Architecture
from supernet.elastic import ElasticNetwork
from supernet.errors import OvnasError
from supernet.generation import generate
from supernet.space import Space
from supernet.stand_in import fill_trivial
from supernet.study import Study

__all__ = [
    "differences",
    "digest",
    "example_input",
    "finetuned_path",
    "keeps_pretraining",
    "load_finetuned",
    "load_pretrained",
    "load_start",
    "load_state",
    "load_supernet",
    "load_weights",
    "make_model",
    "make_network",
    "make_stand_in",
    "origin_of",
    "read_card",
    "save_pretrained",
    "save_state",
    "save_supernet",
    "settings_of",
    "write_json",
]

# 1: first.
SCHEMA_VERSION = 1
HEADER = "ovnas"
# Keys of [train] that pre-training does not depend on; nor does it on [space].
_AFTER_PRETRAINING = ("epochs", "learning_rate", "n_random", "stages", "distillation", "label_weight")


def example_input(study: Study, *, batch: int = 1) -> Tensor:
    """A fixed random input of the study's shape, (batch, C, H, W)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, *study.model.input_shape, generator=generator)


def make_model(study: Study) -> nn.Module:
    """Calls the study's factory and loads its weights, if it names any.

    Raises OvnasError if the factory cannot be imported or gives no module, or the weights do not fit.
    """
    module_name, _, function = study.model.factory.partition(":")
    try:
        factory: Any = importlib.import_module(module_name)
        for part in function.split("."):
            factory = getattr(factory, part)
    except Exception as error:
        raise OvnasError(f"[model] factory {study.model.factory!r} cannot be imported: {error}") from error
    torch.manual_seed(0)
    if not callable(factory):
        raise OvnasError(f"[model] factory {study.model.factory!r} must be a function, but is {factory!r}")
    try:
        model = factory()
    except Exception as error:
        raise OvnasError(f"[model] factory {study.model.factory!r} failed: {error}") from error
    if not isinstance(model, nn.Module):
        raise OvnasError(f"[model] factory {study.model.factory!r} must return a torch.nn.Module")
    if study.model.weights:
        load_weights(model, Path(study.model.weights).expanduser())
    return model.eval()


def make_stand_in(study: Study) -> nn.Module:
    """The untrained model as fast as a trained one: enough for everything that concerns speed only."""
    return fill_trivial(make_model(study))


def make_network(study: Study) -> ElasticNetwork:
    """The super-network of the stand-in."""
    return generate(make_stand_in(study), example_input(study), study.space)


def load_weights(model: nn.Module, path: Path) -> None:
    """Loads a .safetensors file, or a .pth one without running any code that it may hold.

    Raises OvnasError for a missing or unreadable file and lists the keys that do not fit.
    """
    state = _read_weights(path)
    faults = _misfits(model, state)
    if any(faults.values()):
        raise OvnasError(f"{path} does not fit the model: {_listed(faults)}")
    model.load_state_dict(state, strict=False)


def load_start(model: nn.Module, path: Path) -> list[str]:
    """Loads the weights of the same network for other classes: all but its last layer, which stays as it is.

    Returns the keys that stay. Raises OvnasError as `load_weights` does, for keys of other layers.
    """
    state = _read_weights(path)
    last = [name for name, module in model.named_modules() if module._parameters][-1]
    own = {f"{last}.{name}" if last else name for name in model.get_submodule(last).state_dict()}
    state = {name: value for name, value in state.items() if name not in own}
    faults = _misfits(model, state)
    faults["missing"] = [name for name in faults["missing"] if name not in own]
    if any(faults.values()):
        raise OvnasError(f"{path} does not fit the model, its last layer ({last}) aside: {_listed(faults)}")
    model.load_state_dict(state, strict=False)
    return sorted(own)


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise OvnasError(f"there is no weights file {path}")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
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
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise OvnasError(f"{path} must hold a state dict, tensors by name, but holds something else")
    return state


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


def save_pretrained(
    model: nn.Module, study: Study, seed: int, folder: Path, *, origin: dict[str, str] | None = None
) -> None:
    """Keeps the pre-trained model's weights, under its own state-dict names, and what they came from:
    the study's pre-training, and the digests of the files that it began with."""
    save_state(model.state_dict(), folder / "pretrained.safetensors")
    write_json(_pretraining_of(study, seed, origin), folder / "pretrained.json")


def load_pretrained(
    model: nn.Module, study: Study, seed: int, folder: Path, *, origin: dict[str, str] | None = None
) -> bool:
    """Loads what an unfinished start has kept; False if there is none, or it came from other settings."""
    try:
        kept = json.loads((folder / "pretrained.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if kept != _pretraining_of(study, seed, origin) or not (folder / "pretrained.safetensors").is_file():
        return False
    load_weights(model, folder / "pretrained.safetensors")
    return True


def _pretraining_of(study: Study, seed: int, origin: dict[str, str] | None) -> dict[str, Any]:
    settings = settings_of(study)
    settings.pop("space")
    for key in _AFTER_PRETRAINING:
        settings["train"].pop(key)
    return {"seed": seed, "origin": origin or {}, **settings}


def digest(path: Path | None) -> str:
    """The SHA-256 of a file, or nothing where there is none."""
    if path is None or not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_supernet(
    network: ElasticNetwork,
    study: Study,
    folder: Path,
    facts: dict[str, Any],
    *,
    pretrained: nn.Module | None = None,
) -> None:
    """Writes supernet.safetensors (and pretrained.safetensors, if given), and last supernet.json with the
    space and `facts`. Earlier files are replaced once everything is written."""
    card = {
        "schema_version": SCHEMA_VERSION,
        "study": study.name,
        "settings": settings_of(study),
        "space": network.space.to_json(),
        **facts,
    }
    modules = {"supernet.safetensors": network.module, "pretrained.safetensors": pretrained}
    paths = [folder / name for name, module in modules.items() if module is not None]
    with _replacing(*paths, folder / "supernet.json") as partials:
        for partial in partials[:-1]:
            module = modules[partial.name.removesuffix(".partial")]
            assert module is not None
            _write_state(module.state_dict(), partial)
        _write_json(card, partials[-1])
    (folder / "pretrained.json").unlink(missing_ok=True)  # it marks an unfinished start


def settings_of(study: Study) -> dict[str, Any]:
    """The keys that decide what a trained super-network is, as JSON; images and checkpoints may be kept
    elsewhere and otherwise."""
    sections = ("model", "data", "space", "train")
    value = {name: asdict(getattr(study, name)) for name in sections}
    for section, key in (("data", "path"), ("data", "workers"), ("train", "checkpoint_minutes")):
        value[section].pop(key)
    return json.loads(json.dumps(value))  # type: ignore[no-any-return]


def read_card(study: Study, folder: Path) -> dict[str, Any] | None:
    """supernet.json, or None where nothing was trained. Raises OvnasError if it is another study's."""
    path = folder / "supernet.json"
    if not path.is_file():
        return None
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        version, theirs = card["schema_version"], {k: {**v} for k, v in card["settings"].items()}
        Space.from_json(card["space"])
    except (ValueError, KeyError, TypeError, AttributeError, OvnasError):
        raise OvnasError(f"{path} is damaged; train again with --force") from None
    if version != SCHEMA_VERSION:
        raise OvnasError(f"{path} has schema {version}, but this version reads {SCHEMA_VERSION}")
    differing = differences(study, theirs)
    if differing:
        raise OvnasError(
            f"{folder} was trained with other settings ({'; '.join(differing)}); train again with "
            "--force, or take another --runs-dir"
        )
    return card  # type: ignore[no-any-return]


def differences(study: Study, theirs: dict[str, dict[str, Any]]) -> list[str]:
    """Where the settings of an earlier training differ, in words; a key that it did not know had its
    default."""
    found = []
    for section, keys in settings_of(study).items():
        defaults = {f.name: f.default for f in fields(getattr(study, section)) if f.default is not MISSING}
        defaults = json.loads(json.dumps(defaults))
        for key, value in keys.items():
            other = theirs.get(section, {}).get(key, defaults.get(key))
            if other != value:
                found.append(f"[{section}] {key}: {other!r} there, {value!r} now")
    return found


def keeps_pretraining(differences: list[str]) -> bool:
    """Whether `differences` of settings leave the pre-trained model what it is."""
    harmless = ("[space] ", *(f"[train] {key}:" for key in _AFTER_PRETRAINING))
    return all(text.startswith(harmless) for text in differences)


def load_supernet(study: Study, folder: Path) -> tuple[ElasticNetwork, nn.Module]:
    """The trained super-network and the pre-trained model that it came from, in evaluation mode.

    Raises OvnasError if they were not trained yet, or with other settings.
    """
    card = read_card(study, folder)
    if card is None:
        raise OvnasError(
            f"there is no trained super-network in {folder}; make it with python -m supernet.train "
            "(same --study and --runs-dir)"
        )
    model = make_model(study)
    load_weights(model, folder / "pretrained.safetensors")
    network = generate(model, example_input(study), study.space)
    if network.space != Space.from_json(card["space"]):
        raise OvnasError(f"{folder} holds another space than the model gives now; train with --force")
    load_weights(network.module, folder / "supernet.safetensors")
    return network.eval(), model.eval()


def finetuned_path(folder: Path, architecture: Architecture) -> Path:
    """Where a fine-tuned sub-network's own weights lie."""
    return folder / "finetuned" / f"{architecture.file_name}.safetensors"


def origin_of(folder: Path) -> dict[str, str]:
    """Which super-network something was made from."""
    return {"supernet": digest(folder / "supernet.safetensors")}


def load_finetuned(
    network: ElasticNetwork, folder: Path, architecture: Architecture
) -> fx.GraphModule | None:
    """The sub-network that `supernet.finetune` has trained on, BatchNorm statistics included; None where
    there is none, or where it came from another super-network."""
    path = finetuned_path(folder, architecture)
    if not path.is_file():
        return None
    state, facts = load_state(path)
    if facts.get("supernet") != origin_of(folder)["supernet"]:
        return None
    module = network.extract(architecture)
    module.load_state_dict(state)
    return module


def write_json(value: Any, path: Path) -> None:
    """Writes JSON whole or not at all."""
    with _replacing(path) as (partial,):
        _write_json(value, partial)


def save_state(state: dict[str, Tensor], path: Path, *, facts: dict[str, Any] | None = None) -> None:
    """Writes a .safetensors file whole or not at all; tied weights stand under each of their names.

    `facts` go into its header, as JSON, so that they and the tensors are always of one moment.
    """
    with _replacing(path) as (partial,):
        _write_state(state, partial, {} if facts is None else {HEADER: json.dumps(facts)})


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file and the facts of its header. Raises OvnasError if it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[HEADER])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise OvnasError(f"{path} is damaged: {error}") from None


@contextmanager
def _replacing(*paths: Path) -> Iterator[list[Path]]:
    """Partial files to write, which become `paths` together, or vanish on an error."""
    partials = [path.with_name(path.name + ".partial") for path in paths]
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield partials
        for partial, path in zip(partials, paths, strict=True):
            os.replace(partial, path)
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)


def _write_json(value: Any, path: Path) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _write_state(state: dict[str, Tensor], path: Path, header: dict[str, str] | None = None) -> None:
    own = {name: v.detach().clone(memory_format=torch.contiguous_format) for name, v in state.items()}
    try:
        save_file(own, path, header or None)
    except SafetensorError as error:  # it reports a full disk so
        raise OvnasError(f"{path} cannot be written: {error}") from None
