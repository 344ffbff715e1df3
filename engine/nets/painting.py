"""Painting value by value with a cache: the loop behind ``sample_steps`` of picture models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution

from engine.capabilities import Step
from engine.nets.class_mixture import mix_classes
from engine.nets.outputs import icdf, tempered
from engine.nets.stepwise import Steps


class PixelCache(ABC):
    """What a network remembers of the values painted so far, for a batch of N pictures."""

    @abstractmethod
    def begin(self, u: Tensor, place: int) -> None:
        """Take inputs (N, C, H, W) as painted up to ``place`` in the order; the rest is unseen."""

    @abstractmethod
    def params(self, place: int) -> Tensor:
        """(N, P), the parameters of the value at ``place``; places are asked in turn."""

    @abstractmethod
    def put(self, place: int, u: Tensor) -> None:
        """Take in the value (N,) at ``place``, scaled as inputs are."""


@dataclass(frozen=True)
class PaintState:
    """Where a sample stands: how many values are painted, and the picture (N, *E) so far.

    ``sample_steps`` goes on from it after one pass over what is painted. Change a value of
    ``x`` and go back to its ``place`` + 1 to ask "what if?".
    """

    place: int
    x: Tensor


class Painted(Protocol):
    """What the loop asks of a model."""

    config: Any
    event_shape: tuple[int, ...]
    event_size: int

    @property
    def order(self) -> Tensor:
        """(D,), flat indices in the order of painting."""

    def mixes(self, labels: Tensor | None) -> bool:
        """Whether every class is as likely."""

    def inputs(self, x: Tensor) -> Tensor:
        """(B, *E) → (B, C, H, W), as the network sees it."""

    def cache(self, n: int, labels: Tensor | None) -> PixelCache:
        """An empty cache for n pictures."""

    def distribution(self, params: Tensor, index: int | None = None) -> Distribution:
        """The conditional of one value from its parameters (…, P)."""

    def value_in(self, value: Tensor, index: int) -> Tensor:
        """One value (…) as the network sees it."""

    def class_evidence(self, x: Tensor, place: int) -> Tensor:
        """log p(values before ``place`` given each class), (K, B)."""


class _Brush:
    """The conditionals of a batch of N pictures, with a label each or with all K classes mixed."""

    def __init__(self, model: Painted, labels: Tensor | None, start: PaintState) -> None:
        self._model, n = model, len(start.x)
        self._copies = model.config.n_classes if model.mixes(labels) else 1
        self._evidence: Tensor | None = None
        self._each: Distribution | None = None
        u = model.inputs(start.x)
        if model.mixes(labels):
            labels = torch.arange(self._copies, device=u.device).repeat_interleave(n)
            self._evidence = model.class_evidence(start.x, start.place)
        self._cache = model.cache(self._copies * n, labels)
        self._cache.begin(u.repeat(self._copies, 1, 1, 1), start.place)

    def conditional(self, place: int, index: int) -> Distribution:
        """That of the value at ``place``, batch (N,)."""
        params = self._cache.params(place)
        if self._evidence is None:
            return self._model.distribution(params, index)
        params = params.view(self._copies, -1, params.shape[-1])
        self._each = self._model.distribution(params, index)
        return mix_classes(self._each, self._evidence.log_softmax(0))

    def put(self, place: int, index: int, value: Tensor) -> None:
        """Take in the value (N,)."""
        u = self._model.value_in(value, index)
        if self._evidence is not None and self._each is not None:
            self._evidence = self._evidence + self._each.log_prob(value.expand_as(self._evidence))
            u = u.repeat(self._copies)
        self._cache.put(place, u)


def paint(
    model: Painted, steps: Steps, labels: Tensor | None, start: PaintState
) -> Iterator[Step]:
    """The steps of N pictures from where they stand to the end."""
    flat = start.x.reshape(len(steps.noise), model.event_size)
    with torch.no_grad():
        brush = _Brush(model, labels, start)
    order, noise = model.order.tolist(), steps.noise.unbind(1)
    keeps = bool(steps.keep.any())
    for place in range(start.place, model.event_size):
        index = order[place]
        with torch.no_grad():
            whole = brush.conditional(place, index)
            conditional = tempered(whole, steps.temperature, steps.top_p)
            value = icdf(conditional, noise[index])
            if keeps:
                value = steps.keep_known(value, index)
            flat = flat.clone()
            flat[:, index] = value
            brush.put(place, index, value)
        x = flat.view(-1, *model.event_shape)
        yield Step(index, x, conditional, PaintState(place + 1, x))
