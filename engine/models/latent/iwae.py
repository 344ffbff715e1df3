r"""The importance-weighted autoencoder: a VAE trained on a tighter bound of several draws.

The VAE's bound punishes every draw of the encoder that misses the posterior; the mean of several
importance weights forgives misses as long as one draw hits. With k the bound rises to log p(x),
and the encoder may be wider than a VAE would let it.

.. math::
    \mathcal L_k(x) = \mathbb E_{z_1, \dots, z_k \sim q(z \mid x)} \log \frac1k \sum_{i=1}^{k}
        \frac{p(x, z_i)}{q(z_i \mid x)}, \qquad
    \mathcal L_1 = \mathrm{ELBO} \le \mathcal L_k \le \mathcal L_{k+1} \le \log p(x)

References:
    Burda, Grosse and Salakhutdinov, *Importance Weighted Autoencoders*, ICLR 2016 (arXiv 2015).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from engine.nets.latent_model import LACKS, LatentConfig, LatentModel
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


@dataclass(frozen=True)
class IWAEConfig(LatentConfig):
    """Settings of :class:`IWAE`."""

    n_draws: Annotated[
        int,
        Field(
            1,
            1000,
            scale="log",
            symbol="k",
            live=True,
            help="Draws of the latents per example and step; one makes it a VAE.",
        ),
    ] = 5


class IWAE(LatentModel):
    """A VAE's networks under the k-draw bound; its gradient flows through all k weights."""

    Config = IWAEConfig
    card = ModelCard(
        name="iwae",
        title="IWAE",
        family="latent",
        summary=(
            "A VAE whose encoder guesses several times: the average of the importance weights is "
            "a tighter bound on the log-density, and a miss costs little if another guess hits."
        ),
        equation=(
            r"\log p(x)\geq\mathbb{E}_{q}\left[\log\frac{1}{k}\sum_{i=1}^{k}"
            r"\frac{p(x,z_i)}{q(z_i|x)}\right]"
        ),
        paper=Paper(
            authors="Yuri Burda, Roger Grosse, Ruslan Salakhutdinov",
            year=2015,
            title="Importance Weighted Autoencoders",
            where="ICLR 2016",
        ),
        lacks=LACKS,
    )

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Mean over (B, *E) of minus the k-draw bound, ``total`` = ``nll``, in nats.

        Beside it the parts of the one-draw bound: ``reconstruction`` + ``kl`` is not ``nll`` but
        lies above it.
        """
        values = self.values(x)
        drawn = self.infer(self.inputs(values), self.config.n_draws, generator)
        log_prob_given_z = self.log_prob_given(values, drawn.latents)
        log_weights = log_prob_given_z + self.log_prior(drawn.latents) - drawn.log_q
        nll = math.log(len(log_weights)) - torch.logsumexp(log_weights, 0).mean()
        with torch.no_grad():
            kl = torch.stack(list(self.kl_terms(drawn).values())).sum(0).mean()
        return {
            "total": nll,
            "nll": nll,
            "reconstruction": -log_prob_given_z.detach().mean(),
            "kl": kl,
        }
