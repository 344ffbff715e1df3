r"""The variational autoencoder: a decoder with latent variables, and an encoder to train it.

The encoder guesses from which latents a point came; writing its draw as z = μ + σ ε lets the
gradient of the bound reach it, so both networks climb one objective together.

.. math::
    \log p(x) \ge \mathcal L(x) = \mathbb E_{q(z \mid x)} \log p(x \mid z)
        - \mathrm{KL}(q(z \mid x) \,\|\, \mathcal N(0, I)), \qquad
    \mathrm{KL} = -\tfrac12 \sum_j (1 + \log \sigma_j^2 - \mu_j^2 - \sigma_j^2)

References:
    Kingma and Welling, *Auto-Encoding Variational Bayes*, ICLR 2014 (arXiv 2013).
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.nets.latent_model import LACKS, LatentConfig, LatentModel
from engine.wire.cards import ModelCard, Paper


@dataclass(frozen=True)
class VAEConfig(LatentConfig):
    """Settings of :class:`VAE`."""


class VAE(LatentModel):
    """A Gaussian encoder, and a decoder whose likelihood the data choose, trained at β = 1."""

    Config = VAEConfig
    card = ModelCard(
        name="vae",
        title="VAE",
        family="latent",
        summary=(
            "A decoder turns simple latents into data, and an encoder guesses the latents of each "
            "point. Both climb a bound on the log-density, the ELBO."
        ),
        equation=(
            r"\log p(x)\geq\mathbb{E}_{q(z|x)}\left[\log p(x|z)\right]"
            r"-\mathrm{KL}\left(q(z|x)\,\|\,\mathcal{N}(0,I)\right)"
        ),
        paper=Paper(
            authors="Diederik P. Kingma, Max Welling",
            year=2013,
            title="Auto-Encoding Variational Bayes",
            where="ICLR 2014",
        ),
        lacks=LACKS,
    )
