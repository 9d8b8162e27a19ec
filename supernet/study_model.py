"""The model that a study names, and the super-network of it before any training."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from supernet.elastic import ElasticNetwork
from supernet.errors import OvnasError
from supernet.generation import generate
from supernet.stand_in import fill_trivial
from supernet.study import Study
from supernet.weights import load_weights

if TYPE_CHECKING:
    from supernet.sliced import SlicedGraphs

__all__ = ["example_input", "make_graphs", "make_model", "make_network", "make_stand_in", "noise"]

NOISE_BATCHES = 8


def example_input(study: Study, *, batch: int = 1) -> Tensor:
    """A fixed random input of the study's shape, (batch, C, H, W)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, *study.model.input_shape, generator=generator)


def noise(study: Study, *, batch: int = 1) -> Tensor:
    """NOISE_BATCHES batches of fixed random images, to calibrate what is only to be fast: latency does not
    depend on ranges."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(NOISE_BATCHES * batch, *study.model.input_shape, generator=generator)


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
    """The study's model; an untrained one is made as fast as a trained one, which is enough for all that
    concerns speed only."""
    model = make_model(study)
    return model if study.model.weights else fill_trivial(model)


def make_network(study: Study) -> ElasticNetwork:
    """The super-network of the stand-in."""
    return generate(make_stand_in(study), example_input(study), study.space)


def make_graphs(study: Study, *, batch: int = 1) -> SlicedGraphs:
    """INT8 graphs of the stand-in's sub-networks. Raises as `SlicedGraphs`."""
    from supernet.sliced import SlicedGraphs

    return SlicedGraphs(make_network(study), example_input(study, batch=batch), noise(study, batch=batch))
