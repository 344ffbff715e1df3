"""What an invertible layer is, and the walk through a sequence of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from engine.capabilities import FlowPath


class Bijection(Protocol):
    """An invertible map of flat events (B, D) whose log-determinant is known.

    The log-determinant always means the **forward** direction, data → base, whichever way the
    layer is walked: both methods return log abs det ∂y/∂x, shape (B,), in nats.
    """

    @property
    def name(self) -> str:
        """What panels call the layer."""
        ...

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data side (B, D) → base side (B, D), and the log-determinant."""
        ...

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Base side (B, D) → data side (B, D), and the log-determinant **of forward** there."""
        ...


def walk(layers: Sequence[Bijection], x: Tensor, *, inverse: bool = False) -> FlowPath:
    """Walk (B, D) through all layers and keep every state.

    Args:
        layers: From the data to the base.
        x: Data, or with ``inverse`` base points.
        inverse: Walk from the base to the data. The path is told in the same order all the same:
            ``states[0]`` is the data, ``log_dets[l]`` belongs to the step from l to l + 1.
    """
    states, log_dets = [x], []
    for layer in reversed(layers) if inverse else layers:
        state, log_det = layer.inverse(states[-1]) if inverse else layer.forward(states[-1])
        states.append(state)
        log_dets.append(log_det)
    if inverse:
        states.reverse()
        log_dets.reverse()
    return FlowPath(
        torch.stack(states), torch.stack(log_dets), tuple(layer.name for layer in layers)
    )


def n_passes(layer: object) -> tuple[int, int]:
    """Passes of a layer's network that must follow one another: data → base, base → data.

    A masked autoregressive layer takes 1 and D, an inverse one D and 1; layers that say nothing
    have no network and take none.
    """
    found: tuple[int, int] = getattr(layer, "n_passes", (0, 0))
    return found
