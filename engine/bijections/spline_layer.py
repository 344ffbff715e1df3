"""A spline layer: some coordinates pass through splines that a network reads off others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.bijections.spline import bin_of
from engine.bijections.wiring import WiredLayer


@dataclass(frozen=True)
class SplineLayer(WiredLayer):
    """A ``Bijection`` whose network puts out 3K − 1 numbers for the spline of each target.

    Attributes:
        bound: Beyond ± this a value passes unchanged.
    """

    bound: float

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data side (B, D) → base side (B, D), and log abs det ∂y/∂x (B,), nats."""
        y, log_slope = self._through(x, x.t()[self.wiring.targets], inverse=False)
        return self.replaced(x, y), log_slope.sum(0)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Base side (B, D) → data side (B, D), and log abs det ∂y/∂x (B,), nats.

        Each pass puts at least one more coordinate right, so that after ``n_passes`` all are.
        """
        x, targets = y, y.t()[self.wiring.targets]
        for _ in range(self.wiring.n_passes):
            columns, log_slope = self._through(x, targets, inverse=True)
            x = self.replaced(y, columns)
        return x, log_slope.sum(0)

    def _through(self, x: Tensor, targets: Tensor, *, inverse: bool) -> tuple[Tensor, Tensor]:
        raw = self.outputs(x).view(self.wiring.n_outputs, *targets.shape)
        inside = targets.clamp(-self.bound, self.bound)
        found = bin_of(raw, inside, self.bound, inverse=inverse)
        moved, log_slope = found.inverse(inside) if inverse else found.forward(inside)
        outside = targets.abs() > self.bound
        return torch.where(outside, targets, moved), log_slope.masked_fill(outside, 0.0)
