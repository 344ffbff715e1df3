"""An affine layer: some coordinates are scaled and shifted by what a network reads off others."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.bijections.affine import bounded, scale_and_shift, unscale_and_unshift
from engine.bijections.wiring import WiredLayer


@dataclass(frozen=True)
class AffineLayer(WiredLayer):
    """A ``Bijection`` whose network puts out n log-scales, then n shifts."""

    @property
    def passes(self) -> tuple[int, int]:
        """One data → base; the other way as many as the wiring says."""
        return 1, self.wiring.n_passes

    def scales_and_shifts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) → bounded log-scales and shifts, each as columns (n, B)."""
        raw = self.outputs(x)
        n = self.wiring.n_targets
        return bounded(raw[:n]), raw[n:]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data side (B, D) → base side (B, D), and log abs det ∂y/∂x (B,), nats."""
        log_scale, shift = self.scales_and_shifts(x)
        y = scale_and_shift(x.t()[self.wiring.targets], log_scale, shift)
        return self.replaced(x, y), log_scale.sum(0)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Base side (B, D) → data side (B, D), and log abs det ∂y/∂x (B,), nats.

        Each pass puts at least one more coordinate right, so that after ``n_passes`` all are.
        """
        x, targets = y, y.t()[self.wiring.targets]
        for _ in range(self.wiring.n_passes):
            log_scale, shift = self.scales_and_shifts(x)
            x = self.replaced(y, unscale_and_unshift(targets, log_scale, shift))
        return x, log_scale.sum(0)
