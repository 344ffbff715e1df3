r"""Activation normalisation: each channel is shifted and scaled, at first by a batch's statistics.

.. math::
    y = (x - m)\, e^{s}, \qquad \log|\det| = H W \sum_c s_c

Before the first step m and s are set so that one batch comes out with mean 0 and variance 1 per
channel; from then on they are weights like any others, so that no value depends on its neighbours
in the batch.

References:
    Kingma and Dhariwal, *Glow: Generative Flow with Invertible 1×1 Convolutions*, NeurIPS 2018,
    section 3.1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: A channel whose spread is below this is constant, and is left unscaled.
SMALLEST_SPREAD = 1e-6


class ActNorm(nn.Module):
    """One shift and one log-scale a channel.

    Attributes:
        mean: m, (C,).
        log_scale: s, (C,).
        name: What panels call the layer.
    """

    def __init__(self, n_channels: int, name: str = "actnorm") -> None:
        super().__init__()
        self.name = name
        self.mean = nn.Parameter(torch.zeros(n_channels))
        self.log_scale = nn.Parameter(torch.zeros(n_channels))

    @torch.no_grad()
    def initialise(self, h: Tensor) -> None:
        """Take mean and spread of maps (B, C, H, W)."""
        spread, mean = torch.std_mean(h, dim=(0, 2, 3), correction=0)
        known = spread > SMALLEST_SPREAD
        self.mean.copy_(mean)
        self.log_scale.copy_(torch.where(known, -spread.clamp_min(SMALLEST_SPREAD).log(), 0.0))

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) → the same shape, and log abs det ∂y/∂x (B,), nats."""
        scale = self.log_scale.exp()
        y = torch.addcmul(_per_channel(-self.mean * scale), h, _per_channel(scale))
        return y, self._log_det(h)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The way back, and the log-determinant of forward."""
        h = torch.addcmul(_per_channel(self.mean), y, _per_channel((-self.log_scale).exp()))
        return h, self._log_det(y)

    def _log_det(self, h: Tensor) -> Tensor:
        return (self.log_scale.sum() * (h.shape[2] * h.shape[3])).expand(len(h))


def _per_channel(values: Tensor) -> Tensor:
    return values[:, None, None]
