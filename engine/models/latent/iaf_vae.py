r"""The VAE with an inverse-autoregressive-flow posterior: every latent may know those before it.

The encoder's Gaussian draw walks through K steps. In each a masked network reads off all latents
at once, and off the observation, how far to keep every latent and what to mix in; the order is
reversed from step to step. Draws and their density cost one pass a step, whatever the number of
latents, which is what training needs.

.. math::
    z_0 = \mu + \sigma \epsilon, \qquad
    z_k = \sigma_k \odot z_{k-1} + (1 - \sigma_k) \odot m_k, \qquad
    \log q(z_K \mid x) = \log q(z_0 \mid x) - \sum_k \sum_i \log \sigma_{k,i}

References:
    Kingma, Salimans, Jozefowicz, Chen, Sutskever and Welling, *Improved Variational Inference with
    Inverse Autoregressive Flow*, NeurIPS 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from engine.nets.coders import make_encoder
from engine.nets.diagonal import diagonal_posterior
from engine.nets.flow_posterior import FlowPosterior, FlowPosteriorModel, Step
from engine.nets.inverse_autoregressive import InverseAutoregressive
from engine.nets.latent_model import LACKS, LatentConfig
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


@dataclass(frozen=True)
class IAFVAEConfig(LatentConfig):
    """Settings of :class:`IAFVAE`."""

    n_steps: Annotated[
        int, Field(0, 32, step=1, symbol="K", help="Steps of the flow; none makes it a VAE.")
    ] = 4
    step_features: Annotated[
        tuple[int, ...], Field(1, 4096, help="Widths of each step's masked network.")
    ] = (64,)
    n_features: Annotated[
        int,
        Field(1, 4096, symbol="H", help="Features of the observation that every step sees."),
    ] = 32


class IAFVAE(FlowPosteriorModel):
    """A VAE whose posterior is bent by steps in which latents see earlier latents."""

    Config = IAFVAEConfig
    card = ModelCard(
        name="iaf_vae",
        title="VAE, IAF posterior",
        family="latent",
        summary=(
            "A VAE whose Gaussian draw walks through masked networks: each latent is mixed with "
            "what they read off the latents before it, all at once, and the density is known."
        ),
        equation=(
            r"z_k=\sigma_k\odot z_{k-1}+(1-\sigma_k)\odot m_k,\quad "
            r"\log q(z_K|x)=\log q(z_0|x)-\sum_k\sum_i\log\sigma_{k,i}"
        ),
        paper=Paper(
            authors="Diederik P. Kingma and others",
            year=2016,
            title="Improved Variational Inference with Inverse Autoregressive Flow",
            where="NeurIPS",
        ),
        lacks=LACKS,
    )

    def __init__(self, event_shape: tuple[int, ...], config: IAFVAEConfig) -> None:
        super().__init__(event_shape, config)
        natural = torch.arange(config.latent_features)
        self.steps = nn.ModuleList(
            InverseAutoregressive(
                natural.flip(0) if index % 2 else natural,
                config.n_features,
                config.step_features,
                activation=config.activation,
            )
            for index in range(config.n_steps)
        )

    def make_encoder(self) -> nn.Module:
        """Inputs (…, D) → means, log-scales (Z each), and features (H) for the steps."""
        config: IAFVAEConfig = self.config
        return make_encoder(
            config.network,
            self.event_shape,
            config.hidden_features,
            2 * config.latent_features + config.n_features,
            activation=config.activation,
        )

    def posterior(self, inputs: Tensor) -> FlowPosterior:
        """q(z given x) of what the encoder sees, (B, D)."""
        config: IAFVAEConfig = self.config
        base, features = self.encoder(inputs).split(
            [2 * config.latent_features, config.n_features], -1
        )
        steps: list[Step] = [
            step.given(features) for step in self.steps if isinstance(step, InverseAutoregressive)
        ]
        return FlowPosterior(diagonal_posterior(base), steps)
