"""Layers over maps (B, C, H, W), and how they act on a picture's flat values in place.

A multi-scale flow squeezes (neighbouring pixels become channels), and lets go of half the channels
after some layers. Both only say *which* values the next layer works on: squeezing moves nothing in
the flat picture, and a part that was let go of stays where it is. So every state of the path is a
picture of the same D values.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from engine.bijections.base import n_passes

Shape = tuple[int, int, int]


class MapBijection(Protocol):
    """An invertible layer of maps; both methods give log abs det ∂y/∂x, (B,), nats."""

    name: str

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Data side (B, C, H, W) → base side of the same shape, and the log-determinant."""
        ...

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Base side → data side, and the log-determinant **of forward** there."""
        ...


@dataclass(frozen=True)
class OnMaps:
    """A layer of maps as a ``Bijection`` of flat events (B, D); other values pass through.

    Attributes:
        layer: What is done.
        shape: (C, H, W) of the maps.
        places: (C·H·W,), where their values lie in the flat event.
    """

    layer: MapBijection
    shape: Shape
    places: Tensor

    @property
    def name(self) -> str:
        """What panels call the layer."""
        return self.layer.name

    @property
    def n_passes(self) -> tuple[int, int]:
        """Passes of the layer's network in a row: data → base, base → data."""
        return n_passes(self.layer)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data side (B, D) → base side (B, D), and log abs det ∂y/∂x (B,), nats."""
        y, log_det = self.layer.forward(self._maps(x))
        return self._put(x, y), log_det

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Base side (B, D) → data side (B, D), and log abs det ∂y/∂x (B,), nats."""
        x, log_det = self.layer.inverse(self._maps(y))
        return self._put(y, x), log_det

    def _maps(self, flat: Tensor) -> Tensor:
        return flat[:, self.places].reshape(-1, *self.shape)

    def _put(self, flat: Tensor, maps: Tensor) -> Tensor:
        return flat.index_copy(1, self.places, maps.reshape(len(flat), self.places.numel()))


def as_maps(event_shape: tuple[int, ...]) -> Shape:
    """The maps of an event: a picture's own, (D, 1, 1) for anything else."""
    if len(event_shape) == 3:
        return event_shape
    return prod(event_shape), 1, 1


def squeeze_factors(shape: Shape) -> tuple[int, int]:
    """How many rows and columns become channels: pairs along even sides.

    A single channel that has no even side is taken whole, since otherwise no channel could be led
    by another; (1, 1) where there is nothing to do.
    """
    channels, height, width = shape
    even = (2 if height % 2 == 0 else 1, 2 if width % 2 == 0 else 1)
    return (height, width) if even == (1, 1) and channels == 1 else even


def squeeze(h: Tensor, factors: tuple[int, int]) -> Tensor:
    """(B, C, H, W) → (B, C·f·g, H/f, W/g): each f × g block becomes channels."""
    down, across = factors
    n, channels, height, width = h.shape
    if factors == (1, 1):
        return h
    blocks = h.reshape(n, channels, height // down, down, width // across, across)
    blocks = blocks.permute(0, 1, 3, 5, 2, 4)
    return blocks.reshape(n, channels * down * across, height // down, width // across)


def checkerboard(shape: Shape, parity: int) -> Tensor:
    """(1, H, W) of ones where row + column + parity is even, else zeros."""
    _, height, width = shape
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None, :]
    return ((rows + columns + parity) % 2 == 0).float()[None]
