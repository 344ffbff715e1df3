"""The base of every data set that is drawn from a known density."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.wire.event import Event

#: Values held at once while a density is evaluated: as many as a processor's cache holds.
CHUNK = 131_072
#: Seeds of samples lie above those of training, so that fresh batches never repeat the sample.
SAMPLE_STREAM = 2**31


class Synthetic(Dataset):
    """A finite sample of a known density, split into three.

    A subclass sets ``card``, ``Config`` (a ``SplitConfig`` with ``noise``) and, unless it is 2-D,
    ``axes``; it defines ``sample``, ``log_prob`` and ``entropy``.
    """

    axes: ClassVar[tuple[str, ...]] = ("x", "y")

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.event = Event(shape=(len(self.axes),), axes=self.axes)
        self._build()
        generator = torch.Generator().manual_seed(SAMPLE_STREAM + config.seed)
        self._split(self.sample(config.n_samples, generator=generator))

    def _build(self) -> None:
        """Prepare what ``sample`` and ``log_prob`` need."""

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of (B, D), shape (B,), nats; −inf outside the support; float64 is kept."""

    @abstractmethod
    def entropy(self) -> float:
        """H(p) = −E log p in nats."""


def chunked(function: Callable[[Tensor], Tensor], x: Tensor, size: int) -> Tensor:
    """Apply a function of (B, D) in pieces of at most so many rows, to bound memory."""
    if len(x) <= size:
        return function(x)
    return torch.cat([function(piece) for piece in torch.split(x, max(size, 1))])


def far_is_empty(log_p: Tensor, x: Tensor) -> Tensor:
    """−inf where (B, D) lies so far out that (B,) came out as no number."""
    lost = log_p.isnan() & ~x.isnan().any(1)
    return log_p.masked_fill(lost, -math.inf)
