r"""Batch normalisation as a layer of a flow: channels are centred and scaled over the batch.

.. math::
    y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}, \qquad
    \log|\det| = -\tfrac12 H W \sum_c \log(\sigma_c^2 + \epsilon)

Training takes mean and variance of the batch, with their gradient, and lets running averages
follow them; everything else takes the running averages, so that the model is one density and no
value depends on its neighbours. The averages are buffers, which begin at the training data's own.

References:
    Dinh, Sohl-Dickstein and Bengio, *Density Estimation Using Real NVP*, ICLR 2017, section
    3.7 and appendix E.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.nets.batch_norm import EPSILON, MOMENTUM


class MapBatchNorm(nn.Module):
    """Maps (B, C, H, W), normalised per channel.

    Attributes:
        running_mean: (C,).
        running_variance: (C,).
        name: What panels call the layer.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, n_channels: int, name: str = "batch normalisation") -> None:
        super().__init__()
        self.name = name
        self.register_buffer("running_mean", torch.zeros(n_channels))
        self.register_buffer("running_variance", torch.ones(n_channels))

    @torch.no_grad()
    def initialise(self, h: Tensor) -> None:
        """Take mean and variance of maps (B, C, H, W)."""
        variance, mean = torch.var_mean(h, dim=(0, 2, 3), correction=0)
        self.running_mean.copy_(mean)
        self.running_variance.copy_(variance)

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) → the same shape, and log abs det ∂y/∂x (B,), nats."""
        mean, variance = self.running_mean, self.running_variance
        if self.training and torch.is_grad_enabled() and len(h) > 1:
            variance, mean = torch.var_mean(h, dim=(0, 2, 3), correction=0)
            self._follow(mean.detach(), variance.detach())
        variance = variance + EPSILON
        y = (h - _per_channel(mean)) * _per_channel(variance.rsqrt())
        return y, _log_det(h, variance)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The way back by the running averages, and the log-determinant of forward."""
        variance = self.running_variance + EPSILON
        h = y * _per_channel(variance.sqrt()) + _per_channel(self.running_mean)
        return h, _log_det(y, variance)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        self.running_mean.lerp_(mean, MOMENTUM)
        self.running_variance.lerp_(variance, MOMENTUM)


def _per_channel(values: Tensor) -> Tensor:
    return values[:, None, None]


def _log_det(h: Tensor, variance: Tensor) -> Tensor:
    return (-0.5 * (h.shape[2] * h.shape[3]) * variance.log().sum()).expand(len(h))
