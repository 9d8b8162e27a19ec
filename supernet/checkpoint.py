"""A study's trained super-network on disk: `runs/<study>/supernet/`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any

from torch import fx, nn

from supernet.architecture import Architecture
from supernet.elastic import ElasticNetwork
from supernet.errors import OvnasError
from supernet.generation import generate
from supernet.replacing import replacing
from supernet.space import Space
from supernet.study import Study
from supernet.study_model import example_input, make_model
from supernet.weights import load_weights
from supernet.whole_files import (
    load_state,
    read_json,
    save_state,
    write_json,
    write_partial_json,
    write_partial_state,
)

__all__ = [
    "differences",
    "digest",
    "finetuned_int8_card",
    "finetuned_int8_folder",
    "finetuned_path",
    "finetuning_of",
    "keeps_pretraining",
    "load_finetuned",
    "load_pretrained",
    "load_supernet",
    "origin_of",
    "read_card",
    "require_space",
    "save_pretrained",
    "save_supernet",
    "settings_of",
    "trained_part",
]

# 1: first.
SCHEMA_VERSION = 1
# Keys of [train] that pre-training does not depend on; nor does it on [space].
_AFTER_PRETRAINING = (
    "epochs",
    "learning_rate",
    "n_random",
    "stages",
    "distillation",
    "label_weight",
    "mixup",
)


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
    kept = read_json(folder / "pretrained.json")
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
    with replacing(*paths, folder / "supernet.json") as partials:
        for partial in partials[:-1]:
            module = modules[partial.name.removesuffix(".partial")]
            assert module is not None
            write_partial_state(module.state_dict(), partial)
        write_partial_json(card, partials[-1])
    (folder / "pretrained.json").unlink(missing_ok=True)  # it marks an unfinished start


def settings_of(study: Study) -> dict[str, Any]:
    """The keys that decide what a trained super-network is, as JSON; images, weights (by their digest in the
    origin) and checkpoints may be kept elsewhere and otherwise."""
    sections = ("model", "data", "space", "train")
    value = {name: asdict(getattr(study, name)) for name in sections}
    for section, key in (("data", "path"), ("data", "workers"), ("train", "checkpoint_minutes")):
        value[section].pop(key)
    value["model"]["weights"] = ""
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
        raise OvnasError(
            f"{path} has schema {version}, but this version reads {SCHEMA_VERSION}; train again with --force"
        )
    differing = differences(study, theirs)
    if differing:
        raise OvnasError(
            f"{folder} was trained with other settings ({'; '.join(differing)}); train again with "
            "--force, or take another --runs-dir"
        )
    return card  # type: ignore[no-any-return]


def trained_part(study: Study, folder: Path) -> Study | None:
    """The study without the last of its [[train.stages]], where the super-network in `folder` was trained by
    that: so that they are left to train by. None where it was trained by all of them, or by others."""
    stages = study.train.stages
    for n in range(len(stages) - 1, -1, -1):
        train = replace(study.train, stages=stages[:n])
        if not train.stages:  # of a study without stages there is one
            train = replace(train, epochs=stages[0].epochs, learning_rate=stages[0].learning_rate)
        part = replace(study, train=train)
        if part.train.all_stages[0] != stages[0]:
            continue
        try:
            if read_card(part, folder) is not None:
                return part
        except OvnasError:
            continue  # of other settings
    return None


def differences(study: Study, theirs: dict[str, dict[str, Any]]) -> list[str]:
    """Where the settings of an earlier training differ, in words; a key that it did not know had its
    default."""
    found = []
    for section, keys in settings_of(study).items():
        defaults = {f.name: f.default for f in fields(getattr(study, section)) if f.default is not MISSING}
        defaults = json.loads(json.dumps(defaults))
        for key, value in keys.items():
            other = theirs.get(section, {}).get(key, defaults.get(key))
            if (section, key) != ("model", "weights") and _unordered(other) != _unordered(value):
                found.append(f"[{section}] {key}: {other!r} there, {value!r} now")
    return found


def _unordered(value: Any) -> Any:
    """With the kinds that a stage opens in one order; earlier versions kept the study's."""
    if isinstance(value, list):
        return [_unordered(one) for one in value]
    if isinstance(value, dict) and isinstance(value.get("open"), list):
        return {**value, "open": sorted(map(str, value["open"]))}
    return value


def keeps_pretraining(differences: list[str]) -> bool:
    """Whether `differences` of settings leave the pre-trained model what it is."""
    harmless = ("[space] ", *(f"[train] {key}:" for key in _AFTER_PRETRAINING))
    return all(text.startswith(harmless) for text in differences)


def load_supernet(study: Study, folder: Path) -> tuple[ElasticNetwork, nn.Module]:
    """The trained super-network and the pre-trained model that it came from, in evaluation mode.

    Raises OvnasError if they were not trained yet, or with other settings.
    """
    if trained_part(study, folder) is not None:
        raise OvnasError(
            f"the super-network in {folder} has further stages to be trained by; go on with",
            command="supernet.train",
        )
    card = read_card(study, folder)
    if card is None:
        raise OvnasError(
            f"there is no trained super-network in {folder}; make it with", command="supernet.train"
        )
    _require_same_weights(study, card, folder)
    model = make_model(replace(study, model=replace(study.model, weights="")))  # its own follow
    load_weights(model, folder / "pretrained.safetensors")
    network = generate(model, example_input(study), study.space)
    require_space(network.space, study, folder)
    load_weights(network.module, folder / "supernet.safetensors")
    return network.eval(), model.eval()


def _require_same_weights(study: Study, card: dict[str, Any], folder: Path) -> None:
    """Raises OvnasError where the study's [model] weights are another file than the super-network began with;
    a file that is not there says nothing."""
    given = Path(study.model.weights).expanduser()
    theirs = (card.get("origin") or {}).get("weights")
    if study.model.weights and given.is_file() and theirs and digest(given) != theirs:
        raise OvnasError(
            f"the super-network in {folder} began with other weights than {given}; train again with --force, "
            "or take another --runs-dir"
        )


def require_space(space: Space, study: Study, folder: Path) -> None:
    """Raises OvnasError if the super-network that was trained in `folder` is of another space."""
    card = read_card(study, folder)
    if card is not None and space != Space.from_json(card["space"]):
        raise OvnasError(f"{folder} holds another space than the model gives now; train with --force")


def finetuned_path(folder: Path, architecture: Architecture) -> Path:
    """Where a fine-tuned sub-network's own weights lie."""
    return folder / "finetuned" / f"{architecture.file_name}.safetensors"


def origin_of(folder: Path) -> dict[str, str]:
    """Which super-network something was made from."""
    return {"supernet": digest(folder / "supernet.safetensors")}


def finetuning_of(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """What fine-tuning a file's weights have gone through, from its facts: epochs, learning_rate and seed of
    each; none where it made them worse and the former are kept."""
    single = {key: facts.get(key) for key in ("epochs", "learning_rate", "seed")}
    found: list[dict[str, Any]] = facts.get("finetuning", [single] if facts.get("is_better", True) else [])
    return found


def load_finetuned(
    network: ElasticNetwork, folder: Path, architecture: Architecture
) -> tuple[fx.GraphModule, dict[str, Any]] | None:
    """The sub-network that `supernet.finetune` has trained on, BatchNorm statistics included, and how it was
    trained; None where there is none, or where it came from another super-network."""
    path = finetuned_path(folder, architecture)
    if not path.is_file():
        return None
    state, facts = load_state(path)
    if facts.get("supernet") != origin_of(folder)["supernet"]:
        return None
    module = network.extract(architecture)
    module.load_state_dict(state)
    return module, facts


def finetuned_int8_folder(folder: Path, architecture: Architecture) -> Path:
    """Where the model of a sub-network that was trained on as INT8 lies: model.xml, model.bin, card.json."""
    return finetuned_path(folder, architecture).with_suffix("")


def finetuned_int8_card(folder: Path, architecture: Architecture) -> dict[str, Any] | None:
    """What `supernet.finetune --int8` says of the model that it has made of a sub-network; None where there
    is none, or it is damaged."""
    card = read_json(finetuned_int8_folder(folder, architecture) / "card.json")
    return card if isinstance(card, dict) else None
