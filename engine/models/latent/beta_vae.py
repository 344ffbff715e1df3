r"""The β-VAE: a VAE whose latents cost β times their price, so that each has to earn its own.

With β above 1 the code carries fewer nats, and latents that mean one thing each are the cheapest
way to spend them; with β below 1 pictures are copied faithfully by a code that is hard to draw
from. β = 1 is the VAE, and the bound that is reported is at β = 1 whatever the loss is.

.. math::
    \text{loss}(x) = -\mathbb E_{q(z \mid x)} \log p(x \mid z)
        + \beta\, \mathrm{KL}(q(z \mid x) \,\|\, \mathcal N(0, I))

References:
    Higgins and others, *β-VAE: Learning Basic Visual Concepts with a Constrained Variational
    Framework*, ICLR 2017.
    Sønderby and others, *Ladder Variational Autoencoders*, NeurIPS 2016 (the warm-up).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from engine.nets.latent_model import LACKS, LatentConfig, LatentModel
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


@dataclass(frozen=True)
class BetaVAEConfig(LatentConfig):
    """Settings of :class:`BetaVAE`."""

    beta: Annotated[
        float,
        Field(0.0, 1000.0, symbol=r"\beta", live=True, help="Price of the KL; 1 is the VAE."),
    ] = 4.0
    warm_up_steps: Annotated[
        int,
        Field(
            0,
            10_000_000,
            live=True,
            help="Steps over which β grows evenly from 0 to its value; 0 for none.",
        ),
    ] = 0


class BetaVAE(LatentModel):
    """A VAE trained at any β, which may be changed while it trains."""

    Config = BetaVAEConfig
    card = ModelCard(
        name="beta_vae",
        title="β-VAE",
        family="latent",
        summary=(
            "A VAE in which the latents' information has a price β. Dear latents are few and "
            "mean one thing each; cheap ones copy the data faithfully."
        ),
        equation=(
            r"\mathbb{E}_{q(z|x)}\left[\log p(x|z)\right]"
            r"-\beta\,\mathrm{KL}\left(q(z|x)\,\|\,\mathcal{N}(0,I)\right)"
        ),
        paper=Paper(
            authors="Irina Higgins and others",
            year=2017,
            title=(
                "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework"
            ),
            where="ICLR 2017",
        ),
        lacks=LACKS,
    )

    @property
    def beta(self) -> float:
        """β now: a straight line from 0 during the warm-up, then its value."""
        config: BetaVAEConfig = self.config
        share = (self.steps_taken + 1) / max(config.warm_up_steps, 1)
        return config.beta * min(1.0, share)
