r"""A prior over latents that a flow makes out of noise.

.. math::
    z = f^{-1}(u),\; u \sim \mathcal N(0, I), \qquad
    \log p(z) = \log \mathcal N(f(z); 0, I) + \log\left|\det \frac{\partial f}{\partial z}\right|
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from engine.bijections.affine_layer import AffineLayer
from engine.bijections.base import Bijection
from engine.bijections.conditioner import initialise, n_values, unpack
from engine.bijections.coupling import coupling
from engine.drawing import normal_noise
from engine.nets.diagonal import normal_log_prob
from engine.nets.mlp import check_widths


class FlowDistribution(Distribution):
    """Events (Z,) that ``layers`` map to standard normal noise; it has a density and draws.

    Args:
        layers: From the latents to the noise.
        like: Any tensor of the dtype and device wanted.
        size: Z.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(self, layers: Sequence[Bijection], like: Tensor, size: int) -> None:
        self._layers, self._like = layers, like
        super().__init__(torch.Size(), torch.Size((size,)), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of (…, Z), (…), nats."""
        z = value.reshape(-1, *self.event_shape)
        log_det = z.new_zeros(len(z))
        for layer in self._layers:
            z, added = layer.forward(z)
            log_det = log_det + added
        log_p = normal_log_prob(z, z.new_zeros(())) + log_det
        return log_p.reshape(value.shape[:-1])

    @torch.no_grad()
    def draw(self, generator: torch.Generator, shape: Sequence[int] = ()) -> Tensor:
        """(*shape, Z); all chance comes from the CPU generator."""
        noise = normal_noise((*shape, *self.event_shape), generator, self._like)
        z = noise.reshape(-1, *self.event_shape)
        for layer in reversed(self._layers):
            z, _ = layer.inverse(z)
        return z.reshape(noise.shape)


class CouplingFlow(nn.Module):
    """Affine couplings of Z latents, with all weights in one vector θ.

    Args:
        size: Z.
        n_layers: Couplings, whose halves take turns.
        hidden_features: Widths of each one's network.
    """

    def __init__(self, size: int, n_layers: int, hidden_features: Sequence[int]) -> None:
        super().__init__()
        check_widths(hidden_features)
        self._size = size
        self._wirings = [coupling(index, size, hidden_features) for index in range(n_layers)]
        self._networks = [wiring.shapes for wiring in self._wirings]
        self.theta = nn.Parameter(torch.zeros(n_values(self._networks)))
        for matrices in unpack(self.theta, self._networks):
            initialise(matrices)
            with torch.no_grad():
                matrices[-1].mul_(0.1)  # near the standard normal

    def forward(self) -> FlowDistribution:
        """The distribution as the weights are now."""
        matrices = unpack(self.theta, self._networks)
        layers = [AffineLayer(*pair) for pair in zip(self._wirings, matrices, strict=True)]
        return FlowDistribution(layers, self.theta, self._size)
