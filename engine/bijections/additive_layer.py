r"""NICE's layers: the additive coupling, which keeps every volume, and a scale per coordinate.

.. math:: y_a = x_a, \qquad y_b = x_b + m(x_a), \qquad \log|\det| = 0

References:
    Dinh, Krueger and Bengio, *NICE: Non-linear Independent Components Estimation*, ICLR 2015
    (workshop), sections 3.2 and 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.bijections.wiring import WiredLayer


@dataclass(frozen=True)
class AdditiveLayer(WiredLayer):
    """A ``Bijection`` whose network puts out the n shifts; its log-determinant is exactly 0."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data side (B, D) → base side (B, D), and zeros (B,)."""
        y = x.t()[self.wiring.targets] + self.outputs(x)
        return self.replaced(x, y), x.new_zeros(len(x))

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Base side (B, D) → data side (B, D), and zeros (B,)."""
        x = y.t()[self.wiring.targets] - self.outputs(y)
        return self.replaced(y, x), y.new_zeros(len(y))


@dataclass(frozen=True)
class DiagonalScale:
    r"""The map y = x ⊙ exp(s), with :math:`\log|\det| = \sum_i s_i`.

    Attributes:
        log_scale: s, (D,).
        name: What panels call the layer.
    """

    log_scale: Tensor
    name: str = "scale"

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data side (B, D) → base side (B, D), and Σ s, (B,), nats."""
        return x * self.log_scale.exp(), self._log_det(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Base side (B, D) → data side (B, D), and Σ s, (B,), nats."""
        return y * torch.exp(-self.log_scale), self._log_det(y)

    def _log_det(self, x: Tensor) -> Tensor:
        return self.log_scale.sum().expand(x.shape[0])
