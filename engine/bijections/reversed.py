"""A bijection walked the other way round."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.bijections.base import Bijection, n_passes


@dataclass(frozen=True)
class Reversed:
    """The inverse of another bijection, as a ``Bijection``.

    Attributes:
        layer: Its ``forward`` becomes this one's ``inverse``.
    """

    layer: Bijection

    @property
    def name(self) -> str:
        """What panels call the layer."""
        return self.layer.name

    @property
    def n_passes(self) -> tuple[int, int]:
        """Passes of the network in a row: data → base, base → data."""
        there, back = n_passes(self.layer)
        return back, there

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data side (B, D) → base side (B, D), and log abs det ∂y/∂x (B,), nats."""
        y, log_det = self.layer.inverse(x)
        return y, -log_det

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Base side (B, D) → data side (B, D), and log abs det ∂y/∂x (B,), nats."""
        x, log_det = self.layer.forward(y)
        return x, -log_det
