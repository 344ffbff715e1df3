r"""Diagonal Gaussians over latents: a draw with its gradient, its log-density, closed-form KLs.

.. math::
    z = \mu + \sigma \epsilon, \qquad
    \mathrm{KL}(\mathcal N(\mu, \sigma^2) \,\|\, \mathcal N(0, 1))
        = -\tfrac12 \sum_j (1 + \log \sigma_j^2 - \mu_j^2 - \sigma_j^2)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from engine.drawing import normal_noise

LOG_TWO_PI = math.log(2.0 * math.pi)
#: Bounds of log σ of encoder and decoder, in standardised units: they keep both noises finite.
LOG_SCALE_BOUNDS = (-7.0, 3.0)
#: Where log σ of both starts: with noise as wide as the data the latents would never be used.
LOG_SCALE_START = math.log(0.1)


@dataclass(frozen=True)
class DiagonalPosterior:
    """q(z given x) = N(mean, diag scale²) of one latent ``name``; both (B, Z)."""

    mean: Tensor
    log_scale: Tensor
    name: str = "z"

    @cached_property
    def scale(self) -> Tensor:
        """σ, (B, Z)."""
        return self.log_scale.exp()

    @property
    def distribution(self) -> Distribution:
        """Batch (B,), event (Z,)."""
        normal = Normal(self.mean, self.scale, validate_args=False)
        return Independent(normal, 1, validate_args=False)

    def sample(self, k: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """K draws μ + σ ε, with gradient: ({name: (K, B, Z)}, log_q (K, B))."""
        noise = normal_noise((k, *self.mean.shape), generator, self.mean)
        log_q = normal_log_prob(noise, self.log_scale)
        return {self.name: self.mean + self.scale * noise}, log_q

    @property
    def kl(self) -> Tensor:
        """KL(q‖N(0, I)) in closed form, (B,), nats."""
        return self.kl_of_each.sum(-1)

    @property
    def kl_of_each(self) -> Tensor:
        """The same of each unit, (B, Z), nats."""
        squares = self.mean.square() + self.scale.square()
        return 0.5 * (squares - 1.0 - 2.0 * self.log_scale)


def diagonal_posterior(out: Tensor, name: str = "z") -> DiagonalPosterior:
    """An encoder's output (…, 2Z), means and raw log-scales, as a posterior near its start."""
    mean, log_scale = out.chunk(2, -1)
    return DiagonalPosterior(mean, (log_scale + LOG_SCALE_START).clamp(*LOG_SCALE_BOUNDS), name)


def normal_log_prob(noise: Tensor, log_scale: Tensor) -> Tensor:
    """Log N(μ + σ ε; μ, σ²) of ε (…, D) and log σ (…, D), summed over D, nats."""
    return -(0.5 * noise.square() + log_scale + 0.5 * LOG_TWO_PI).sum(-1)


def normal_kl(
    mean: Tensor, log_scale: Tensor, other_mean: Tensor, other_log_scale: Tensor
) -> Tensor:
    """KL(N(μ, σ²)‖N(m, s²)) of diagonal Gaussians (…, Z) for each unit, (…, Z), nats."""
    distance = ((mean - other_mean) * torch.exp(-other_log_scale)).square()
    ratio = log_scale - other_log_scale
    return 0.5 * (distance + (2.0 * ratio).exp() - 1.0 - 2.0 * ratio)
