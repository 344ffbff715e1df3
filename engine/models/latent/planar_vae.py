r"""The VAE with a planar-flow posterior: the encoder's Gaussian is bent before it is used.

A Gaussian without correlations cannot follow a posterior that is bent, or has two parts. Each
planar map pushes the draws apart, or together, across one hyperplane that the encoder chooses for
every observation; the density of what comes out is known, so the bound stays a bound.

.. math::
    z_0 = \mu + \sigma \epsilon, \qquad z_k = z_{k-1} + \hat u_k \tanh(w_k^\top z_{k-1} + b_k),
    \qquad \log q(z_K \mid x) = \log q(z_0 \mid x)
    - \sum_k \log\bigl|1 + \hat u_k^\top w_k\,(1 - \tanh^2(w_k^\top z_{k-1} + b_k))\bigr|

References:
    Rezende and Mohamed, *Variational Inference with Normalizing Flows*, ICML 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from engine.bijections.planar import Planar
from engine.nets.coders import make_encoder
from engine.nets.diagonal import diagonal_posterior
from engine.nets.flow_posterior import FlowPosterior, FlowPosteriorModel
from engine.nets.latent_model import LACKS, LatentConfig
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: The share of the starting weights of u that is kept.
START = 0.1


@dataclass(frozen=True)
class PlanarVAEConfig(LatentConfig):
    """Settings of :class:`PlanarVAE`."""

    n_steps: Annotated[
        int, Field(0, 64, step=1, symbol="K", help="Planar maps; none makes it a VAE.")
    ] = 8


class PlanarVAE(FlowPosteriorModel):
    """A VAE whose encoder also chooses K planar maps for each observation."""

    Config = PlanarVAEConfig
    card = ModelCard(
        name="planar_vae",
        title="VAE, planar posterior",
        family="latent",
        summary=(
            "A VAE whose encoder bends its Gaussian: K planar maps, chosen for each observation, "
            "push the draws across hyperplanes, so that the posterior may be skewed or in parts."
        ),
        equation=(
            r"z_k = z_{k-1} + \hat{u}_k \tanh(w_k^\top z_{k-1} + b_k),\quad "
            r"\log q(z_K|x) = \log q(z_0|x) - \sum_k \log|\det \partial z_k/\partial z_{k-1}|"
        ),
        paper=Paper(
            authors="Danilo Jimenez Rezende, Shakir Mohamed",
            year=2015,
            title="Variational Inference with Normalizing Flows",
            where="ICML",
        ),
        lacks=LACKS,
    )

    def make_encoder(self) -> nn.Module:
        """Inputs (…, D) → means, log-scales, and w, u (K·Z each) and b (K) of the maps."""
        config: PlanarVAEConfig = self.config
        size = config.latent_features
        return make_encoder(
            config.network,
            self.event_shape,
            config.hidden_features,
            2 * size + config.n_steps * (2 * size + 1),
            activation=config.activation,
        )

    def start(self) -> None:
        """Begin near a Gaussian posterior: with u = 0 a map is the identity."""
        super().start()
        config: PlanarVAEConfig = self.config
        first = (2 + config.n_steps) * config.latent_features
        *_, last = (layer for layer in self.encoder.modules() if isinstance(layer, nn.Linear))
        with torch.no_grad():
            for part in (last.weight, last.bias):
                part[first : first + config.n_steps * config.latent_features] *= START

    def posterior(self, inputs: Tensor) -> FlowPosterior:
        """q(z given x) of what the encoder sees, (B, D)."""
        config: PlanarVAEConfig = self.config
        size, n_steps = config.latent_features, config.n_steps
        out = self.encoder(inputs)
        base, w, u, b = out.split([2 * size, n_steps * size, n_steps * size, n_steps], -1)
        shape = (*out.shape[:-1], n_steps, size)
        parts = zip(w.view(shape).unbind(-2), u.view(shape).unbind(-2), b.unbind(-1), strict=True)
        return FlowPosterior(diagonal_posterior(base), [Planar(*part) for part in parts])
