"""Discovery: one walk over ``engine.models``, ``engine.datasets`` and ``engine.probes``.

Nothing is listed by hand. Modules named in the environment variable ``GENSCOPE_PLUGINS``
(separated by commas) are walked too, which is how a user's own model file joins in.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from types import ModuleType
from typing import TypeVar

import msgspec
import torch

from engine.capabilities import capabilities_of
from engine.dataset import Dataset, KnownDensity
from engine.fitting import derived_settings
from engine.launch import PLUGINS_VARIABLE
from engine.model import GenerativeModel
from engine.probe import Probe
from engine.wire.cards import DatasetCard, ModelCard
from engine.wire.fields import field_specs, make_config
from engine.wire.messages import RunSpec

T = TypeVar("T")
_BUILDING = threading.Lock()


def model_names() -> tuple[str, ...]:
    """Names of all models, sorted by family and year."""
    return tuple(models())


def dataset_names() -> tuple[str, ...]:
    """Names of all data sets, sorted by kind and name."""
    return tuple(datasets())


def build_model(
    name: str,
    *,
    event_shape: Sequence[int],
    seed: int = 0,
    dataset: Dataset | None = None,
    **config: object,
) -> GenerativeModel:
    """Build an untrained model; the same seed gives the same weights.

    Args:
        name: One of :func:`model_names`.
        event_shape: The shape *E of one observation.
        seed: Seed of the initial weights.
        dataset: Data that decide the derived settings, such as ``levels``, whatever is given.
        **config: Fields of the model's ``Config``; the rest keep their defaults.

    Raises:
        ValueError: The name or a setting is unknown, or a value is outside its range.
    """
    kind = find(models(), name, "model")
    if dataset is not None:
        config = {**config, **derived_settings(kind.Config, dataset)}
    return _built(kind, event_shape, make_config(kind.Config, config), seed)


def build_for(spec: RunSpec, dataset: Dataset) -> GenerativeModel:
    """The untrained model of a run on its data; raises ``ValueError`` as :func:`build_model`."""
    return build_model(
        spec.model,
        event_shape=dataset.event_shape,
        seed=spec.seed,
        dataset=dataset,
        **spec.model_config,
    )


def build_like(model: GenerativeModel, config: object, *, seed: int = 0) -> GenerativeModel:
    """An untrained model of the same kind and event shape, with another ``Config``."""
    return _built(type(model), model.event_shape, config, seed)


def _built(
    kind: type[GenerativeModel], event_shape: Sequence[int], config: object, seed: int
) -> GenerativeModel:
    """Initial weights come from torch's one global generator: one thread at a time."""
    with _BUILDING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind.kind_for(config)(tuple(event_shape), config)


def build_dataset(name: str, **config: object) -> Dataset:
    """Build a data set with its splits; raises ``ValueError`` as :func:`build_model` does."""
    kind = find(datasets(), name, "data set")
    return kind(make_config(kind.Config, config))


@cache
def models() -> dict[str, type[GenerativeModel]]:
    """Model classes by name; the last one found under a name wins, so a plugin may replace."""
    found = list(_classes("engine.models", GenerativeModel))  # type: ignore[type-abstract]
    found.sort(key=lambda kind: (_family_rank(kind.card.family), kind.card.paper.year))
    return {kind.card.name: kind for kind in found}


@cache
def datasets() -> dict[str, type[Dataset]]:
    """Data set classes by name."""
    found = list(_classes("engine.datasets", Dataset))  # type: ignore[type-abstract]
    found.sort(key=lambda kind: (kind.card.kind, kind.card.name))
    return {kind.card.name: kind for kind in found}


@cache
def probes() -> dict[str, Probe]:
    """Probes by name."""
    found: dict[str, Probe] = {}
    for module in _modules("engine.probes"):
        found.update({p.name: p for p in vars(module).values() if isinstance(p, Probe)})
    return found


def model_card(kind: type[GenerativeModel]) -> ModelCard:
    """A model's card with its capabilities and fields filled in."""
    return msgspec.structs.replace(
        kind.card, capabilities=capabilities_of(kind), fields=field_specs(kind.Config)
    )


def dataset_card(kind: type[Dataset]) -> DatasetCard:
    """A data set's card with its fields filled in."""
    known = all(callable(getattr(kind, name, None)) for name in ("log_prob", "entropy"))
    return msgspec.structs.replace(kind.card, has_density=known, fields=field_specs(kind.Config))


def find(table: dict[str, T], name: str, noun: str) -> T:
    """Look a name up, or raise a ``ValueError`` that lists what there is."""
    if name not in table:
        raise ValueError(f"there is no {noun} '{name}'; there are: {', '.join(table)}")
    return table[name]


_FAMILIES = ("autoregressive", "latent", "flows", "energy", "implicit")


def _family_rank(family: str) -> int:
    return _FAMILIES.index(family) if family in _FAMILIES else len(_FAMILIES)


def _classes(package: str, base: type[T]) -> Iterator[type[T]]:
    for module in _modules(package):
        for item in vars(module).values():
            if _is_ours(item, base) and item.__module__ == module.__name__:
                yield item


def _is_ours(item: object, base: type) -> bool:
    return inspect.isclass(item) and issubclass(item, base) and "card" in vars(item)


@cache
def _modules(package: str) -> tuple[ModuleType, ...]:
    root = importlib.import_module(package)
    names = [info.name for info in pkgutil.walk_packages(root.__path__, f"{package}.")]
    plugins = [name for name in os.environ.get(PLUGINS_VARIABLE, "").split(",") if name]
    return tuple(importlib.import_module(name) for name in [*names, *plugins])


__all__ = [
    "KnownDensity",
    "build_dataset",
    "build_for",
    "build_like",
    "build_model",
    "dataset_card",
    "dataset_names",
    "datasets",
    "find",
    "model_card",
    "model_names",
    "models",
    "probes",
]
