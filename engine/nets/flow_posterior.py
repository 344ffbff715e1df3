r"""Posteriors that a flow bends: a Gaussian draw walks through invertible maps.

.. math::
    z_0 \sim \mathcal N(\mu(x), \sigma^2(x)), \qquad z_k = f_k(z_{k-1}; x), \qquad
    \log q(z_K \mid x) = \log q(z_0 \mid x)
        - \sum_{k=1}^{K} \log\left|\det \frac{\partial f_k}{\partial z_{k-1}}\right|

References:
    Rezende and Mohamed, *Variational Inference with Normalizing Flows*, ICML 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from engine.nets.diagonal import DiagonalPosterior
from engine.nets.latent_model import Drawn, LatentModel


class Step(Protocol):
    """One invertible map of the latents, which may know the observation."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(K, B, Z) → the same shape, and log abs det of its Jacobian (K, B), nats."""
        ...


@dataclass(frozen=True)
class FlowPosterior:
    """q(z given x): draws of ``base`` bent by ``steps``."""

    base: DiagonalPosterior
    steps: Sequence[Step]

    def path(self, k: int, generator: torch.Generator) -> tuple[list[Tensor], Tensor]:
        """K draws before, between and after the steps, (K, B, Z) each, and log q of the last."""
        latents, log_q = self.base.sample(k, generator)
        states = [latents[self.base.name]]
        for step in self.steps:
            state, log_det = step.forward(states[-1])
            states.append(state)
            log_q = log_q - log_det
        return states, log_q

    def sample(self, k: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """K draws, with gradient: ({name: (K, B, Z)}, log_q (K, B))."""
        states, log_q = self.path(k, generator)
        return {self.base.name: states[-1]}, log_q


class FlowPosteriorModel(LatentModel):
    """A VAE whose posterior is a :class:`FlowPosterior`; the KL is the mean over the draws."""

    def kl_terms(self, drawn: Drawn) -> dict[str, Tensor]:
        """KL(q‖prior) by the draws, {latent: (B,)}, nats: q has no closed form."""
        return self.kl_by_draws(drawn)
