"""An affine layer: some coordinates are scaled and shifted by what a network reads off others."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.bijections.affine import bounded, scale_and_shift, unscale_and_unshift
from engine.bijections.conditioner import Matrices, Shape, conditioner


@dataclass(frozen=True)
class Wiring:
    """How an affine layer is laid out, without its weights.

    Attributes:
        name: What panels call the layer.
        inputs: The coordinates that the network reads.
        targets: The n coordinates that are scaled and shifted; the others pass through.
        shapes: The network's matrices; it puts out n log-scales, then n shifts.
        n_passes: Passes that the inverse needs: 1 where no target is an input, D where each
            target may depend on the earlier ones.
    """

    name: str
    inputs: slice
    targets: slice
    shapes: tuple[Shape, ...]
    n_passes: int = 1

    @property
    def n_targets(self) -> int:
        """How many coordinates are transformed."""
        return self.shapes[-1][1] // 2


@dataclass(frozen=True)
class AffineLayer:
    """A :class:`Wiring` with its matrices (views of a flow's θ); a ``Bijection``."""

    wiring: Wiring
    matrices: Matrices

    @property
    def name(self) -> str:
        """What panels call the layer."""
        return self.wiring.name

    @property
    def passes(self) -> tuple[int, int]:
        """One data → base; the other way as many as the wiring says."""
        return 1, self.wiring.n_passes

    def scales_and_shifts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) → bounded log-scales and shifts, each as columns (n, B)."""
        raw = conditioner(self.matrices, x.t()[self.wiring.inputs])
        n = self.wiring.n_targets
        return bounded(raw[:n]), raw[n:]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data side (B, D) → base side (B, D), and log abs det ∂y/∂x (B,), nats."""
        log_scale, shift = self.scales_and_shifts(x)
        y = scale_and_shift(x.t()[self.wiring.targets], log_scale, shift)
        return self._replaced(x, y), log_scale.sum(0)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Base side (B, D) → data side (B, D), and log abs det ∂y/∂x (B,), nats.

        Each pass puts at least one more coordinate right, so that after ``n_passes`` all are.
        """
        x, targets = y, y.t()[self.wiring.targets]
        for _ in range(self.wiring.n_passes):
            log_scale, shift = self.scales_and_shifts(x)
            x = self._replaced(y, unscale_and_unshift(targets, log_scale, shift))
        return x, log_scale.sum(0)

    def _replaced(self, x: Tensor, columns: Tensor) -> Tensor:
        if self.wiring.n_targets == x.shape[1]:
            return columns.t()
        x = x.clone()
        x.t()[self.wiring.targets] = columns
        return x
