"""What the numbers and texts of a study must be, beyond their types."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from supernet.errors import OvnasError
from supernet.quantities import parse_budget, parse_count, parse_latency, parse_size

if TYPE_CHECKING:
    from supernet.study import Study

__all__ = ["broken_rule"]

_LEAST: dict[str, dict[str, float]] = {
    "data": {"workers": -1},
    "space": {"divisor": 1, "max_dropped": -1, "min_channels": 1},
    "train": {
        "epochs": 1,
        "pretrain_epochs": 0,
        "batch_size": 2,
        "n_random": 0,
        "label_weight": 0,
        "mixup": 0,
        "weight_decay": 0,
        "warm_up_epochs": 0,
        "max_gradient_norm": 0,
        "checkpoint_minutes": 0,
    },
    "target": {"threads": 0, "streams": 0, "batch": 1},
    "search": {
        "evaluations": 1,
        "evaluation_samples": 0,
        "finalists": 1,
        "calibration_samples": 1,
        "finetune_epochs": 0,
        "max_accuracy_drop": 0,
        "min_speedup": 0,
    },
}
_QUANTITIES = {"max_latency": parse_latency, "max_macs": parse_count, "max_size": parse_size}
_FUNCTION = r"[\w.]+:[\w.]+"


def broken_rule(study: Study) -> str | None:
    """The first one, with what the study says; None if all hold."""
    for section, bounds in _LEAST.items():
        for key, least in bounds.items():
            value = getattr(getattr(study, section), key)
            if value < least:
                return f"[{section}] {key} must be >= {least}, but is {value}"
    try:
        parse_budget(study.profiling.budget, "[profiling] budget")
        for key, parse in _QUANTITIES.items():
            if text := getattr(study.search, key):
                parse(text, f"[search] {key}")
    except OvnasError as error:
        return str(error)
    return next((text for text, holds in _rules(study) if not holds), None)


def _rules(study: Study) -> list[tuple[str, bool]]:
    model, data, space, train, target = study.model, study.data, study.space, study.train, study.target
    side = model.input_shape[-1] if model.input_shape else 0
    is_square = model.input_shape[1:] == (side, side)
    return [
        (
            "[model] input_shape must be channels, height, width (each >= 1), but is "
            f"{_list(model.input_shape)}",
            len(model.input_shape) == 3 and min(model.input_shape) >= 1,
        ),
        (
            f"[model] factory must read 'package.module:function', but is {model.factory!r}",
            re.fullmatch(_FUNCTION, model.factory) is not None,
        ),
        (
            "[data] factory must read 'package.module:function' for name = 'custom', but is "
            f"{data.factory!r}",
            data.name != "custom" or re.fullmatch(_FUNCTION, data.factory) is not None,
        ),
        (
            f"[data] has a path ({data.path!r}), but no name that says what lies there: digits, cifar10, "
            "folder or custom",
            not data.path or data.name != "none",
        ),
        (
            f"[data] factory ({data.factory!r}) is of name = 'custom', but name is {data.name!r}",
            not data.factory or data.name == "custom",
        ),
        (
            f"[space] min_channels ({space.min_channels}) is of free widths, not of the ratios that expand "
            "gives; leave out one of them",
            space.min_channels == 1 or not space.expand,
        ),
        (
            f"[space] width must be ratios within 0 < r <= 1, but is {_list(space.width)}",
            bool(space.width) and all(0 < r <= 1 for r in space.width),
        ),
        (
            f"[space] expand must be ratios > 0, but is {_list(space.expand)}",
            all(r > 0 for r in space.expand),
        ),
        (
            f"[space] kernel must be odd sides >= 1, but is {_list(space.kernel)}",
            all(k >= 1 and k % 2 for k in space.kernel),
        ),
        (
            "[space] resolution must be sides >= 1, none longer than those of a square [model] input_shape, "
            f"but is {_list(space.resolution)} for {_list(model.input_shape)}",
            all(is_square and 1 <= r <= side for r in space.resolution),
        ),
        *(
            (f"[train] {key} must be > 0, but is {getattr(train, key)}", getattr(train, key) > 0)
            for key in ("learning_rate", "pretrain_learning_rate")
        ),
        *(
            (
                f"[train] {key} must be within 0 <= x < 1, but is {getattr(train, key)}",
                0 <= getattr(train, key) < 1,
            )
            for key in ("label_smoothing", "ema_decay")
        ),
        *(
            (
                f"[[train.stages]] epochs must be >= 1 and learning_rate > 0, but stage {number} has "
                f"{stage.epochs} and {stage.learning_rate}",
                stage.epochs >= 1 and stage.learning_rate > 0,
            )
            for number, stage in enumerate(train.stages, 1)
        ),
        (
            f"[target] streams must be 1 (or left out) in latency mode, but is {target.streams}; take mode = "
            "'throughput'",
            target.mode == "throughput" or target.streams <= 1,
        ),
    ]


def _list(values: tuple[float, ...]) -> str:
    return str(list(values))
