r"""The VAE with a flow prior: the latents' own density is learned too.

A standard normal prior and the cloud of all codes, the aggregate posterior, never quite agree, and
where they differ the VAE draws from places that it was not trained on. Here the prior is a flow of
affine couplings, trained by the same bound, which moves to where the codes lie.

.. math::
    p(z) = \mathcal N(f(z); 0, I) \left|\det \frac{\partial f}{\partial z}\right|, \qquad
    \log p(x) \ge \mathbb E_{q(z \mid x)}[\log p(x \mid z) + \log p(z) - \log q(z \mid x)]

References:
    Chen, Kingma, Salimans, Duan, Dhariwal, Schulman, Sutskever and Abbeel, *Variational Lossy
    Autoencoder*, ICLR 2017, section 3.2 (a flow as the prior); Dinh, Sohl-Dickstein and Bengio,
    *Density Estimation Using Real NVP*, ICLR 2017 (the couplings).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor
from torch.distributions import Distribution

from engine.latents import Latents
from engine.nets.flow_prior import CouplingFlow
from engine.nets.latent_model import LACKS, Drawn, LatentConfig, LatentModel
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


@dataclass(frozen=True)
class FlowPriorVAEConfig(LatentConfig):
    """Settings of :class:`FlowPriorVAE`."""

    n_layers: Annotated[
        int,
        Field(0, 32, step=1, symbol="L", help="Couplings of the prior; none makes it a VAE."),
    ] = 6
    prior_features: Annotated[
        tuple[int, ...], Field(1, 1024, help="Widths of each coupling's network.")
    ] = (64,)


class FlowPriorVAE(LatentModel):
    """A VAE whose prior is a RealNVP, learned together with encoder and decoder."""

    Config = FlowPriorVAEConfig
    card = ModelCard(
        name="flow_prior_vae",
        title="VAE, flow prior",
        family="latent",
        summary=(
            "A VAE whose prior is no fixed normal but a flow of affine couplings, which learns "
            "to lie where the codes of the data lie, so that draws decode to likely data."
        ),
        equation=(
            r"p(z)=\mathcal{N}(f(z);0,I)\,|\det\partial f/\partial z|,\quad "
            r"\log p(x)\geq\mathbb{E}_{q}[\log p(x|z)+\log p(z)-\log q(z|x)]"
        ),
        paper=Paper(
            authors="Xi Chen and others",
            year=2017,
            title="Variational Lossy Autoencoder",
            where="ICLR",
        ),
        lacks=LACKS,
    )

    def __init__(self, event_shape: tuple[int, ...], config: FlowPriorVAEConfig) -> None:
        super().__init__(event_shape, config)
        self.flow = CouplingFlow(config.latent_features, config.n_layers, config.prior_features)

    def prior(self, parents: Latents) -> Distribution:
        """The flow's density, event (Z,)."""
        if "z" in parents:
            raise ValueError("prior: given z, wanted no parents: it is the only latent")
        distribution: Distribution = self.flow()
        return distribution

    def kl_terms(self, drawn: Drawn) -> dict[str, Tensor]:
        """KL(q‖prior) by the draws, {latent: (B,)}, nats: the prior is no Gaussian."""
        return self.kl_by_draws(drawn)
