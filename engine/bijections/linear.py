"""The linear map of whole events."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Linear:
    r"""y = W x, with :math:`\log|\det W|` the same everywhere.

    Attributes:
        W: (D, D), invertible.
        name: What panels call the layer.
    """

    W: Tensor
    name: str = "linear"

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data side (B, D) → base side (B, D), and log abs det W, (B,), nats."""
        return x @ self.W.t(), self._log_det(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Base side (B, D) → data side (B, D), and log abs det W, (B,), nats."""
        x: Tensor = torch.linalg.solve(self.W, y.t()).t()
        return x, self._log_det(y)

    def _log_det(self, x: Tensor) -> Tensor:
        log_det: Tensor = torch.linalg.slogdet(self.W).logabsdet
        return log_det.expand(x.shape[0])
