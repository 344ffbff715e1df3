"""Probes: one question each, a model and a data set in, arrays out.

A probe is a generator function: it yields partial results for long work and the full one last::

    class Arguments(msgspec.Struct, frozen=True):
        size: int = 128

    @probe(summary="The model's own density on a grid.", needs=(), arguments=Arguments)
    def density(view: View, arguments: Arguments) -> Iterator[Result]:
        yield Result({"grid": grid}, {"exact": True})

It lives in a module of ``engine.probes``; the registry finds it there under the function's name.
Probes run on the answering thread, on a snapshot that no training step touches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.capabilities import capabilities_of
from engine.dataset import Dataset
from engine.model import GenerativeModel
from engine.wire.capability import WORDING, Capability
from engine.wire.cards import ProbeCard
from engine.wire.fields import Value


@dataclass(frozen=True)
class Result:
    """Arrays and plain values; ``final`` is False for a partial answer."""

    arrays: Mapping[str, Tensor | np.ndarray[Any, Any]] = field(default_factory=dict)
    values: Mapping[str, Value] = field(default_factory=dict)
    final: bool = True

    def numpy(self) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays as numpy, float64 kept."""
        return {
            name: value.detach().cpu().numpy() if isinstance(value, Tensor) else value
            for name, value in self.arrays.items()
        }


@dataclass(frozen=True)
class View:
    """What a probe may look at.

    Attributes:
        model: A replica with the snapshot's weights, in eval mode; parameters need no gradient.
        dataset: The run's data.
        step: Training step of the snapshot.
        seed: The run's seed; see :meth:`generator`.
        cancelled: True once a newer ask for the same slot waits; check it between chunks.
        memory: The training's own chains and replay buffers, and the step that they are of: the
            newest keyframe not after the snapshot. Never to be written to.
    """

    model: GenerativeModel
    dataset: Dataset
    step: int
    seed: int = 0
    cancelled: Callable[[], bool] = lambda: False
    memory: Callable[[], tuple[int, Mapping[str, Tensor]]] = lambda: (0, {})

    def generator(self, stream: int = 0) -> torch.Generator:
        """A fresh CPU generator: the same seed and stream give the same draws at every step."""
        return torch.Generator().manual_seed((self.seed * 1_000_003 + stream) % 2**63)

    def can(self, capability: Capability) -> bool:
        """Whether the model has a capability."""
        return capability in capabilities_of(type(self.model))


ProbeFunction: TypeAlias = Callable[[View, Any], Iterator[Result]]


@dataclass(frozen=True)
class Probe:
    """A registered question."""

    name: str
    summary: str
    needs: tuple[Capability, ...]
    arguments: type[msgspec.Struct]
    function: ProbeFunction

    @property
    def card(self) -> ProbeCard:
        """What crosses the wire of it."""
        return ProbeCard(self.name, self.summary, self.needs)

    def ask(
        self,
        view: View,
        arguments: Mapping[str, Value],
        arrays: Mapping[str, np.ndarray[Any, Any]] | None = None,
    ) -> Iterator[Result]:
        """Check the arguments and the model's capabilities, then run.

        Raises:
            ValueError: An argument is of the wrong kind, or the model lacks a capability.
        """
        for capability in self.needs:
            if not view.can(capability):
                title = view.model.card.title
                raise ValueError(f"{self.name} needs {WORDING[capability]}; {title} has none")
        return self.function(view, self._parse(arguments, arrays or {}))

    def _parse(
        self, arguments: Mapping[str, Value], arrays: Mapping[str, np.ndarray[Any, Any]]
    ) -> msgspec.Struct:
        known = set(self.arguments.__struct_fields__)
        for name in [*arguments, *arrays]:
            if name not in known:
                raise ValueError(f"{self.name} has no argument '{name}', only {sorted(known)}")
        try:
            return msgspec.convert(
                {**arguments, **arrays}, self.arguments, strict=False, dec_hook=lambda _, v: v
            )
        except msgspec.ValidationError as error:
            raise ValueError(f"{self.name}: {error}") from None


def probe(
    *, summary: str, arguments: type[msgspec.Struct], needs: tuple[Capability, ...] = ()
) -> Callable[[ProbeFunction], Probe]:
    """Turn a generator function into a :class:`Probe` under the function's name."""

    def wrap(function: ProbeFunction) -> Probe:
        return Probe(function.__name__, summary, needs, arguments, function)

    return wrap
