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

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from engine.drawing import draw, normal_noise
from engine.latents import Elbo, Latent, Latents
from engine.model import GenerativeModel
from engine.nets.mlp import ACTIVATIONS, MLP
from engine.wire.capability import Capability
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

LOG_TWO_PI = math.log(2.0 * math.pi)
#: Bounds of log σ of encoder and decoder, in standardised units: they keep both noises finite.
LOG_SCALE_BOUNDS = (-7.0, 3.0)
#: Where log σ of both starts: with noise as wide as the data the latents would never be used.
LOG_SCALE_START = math.log(0.1)


@dataclass(frozen=True)
class VAEConfig:
    """Settings of :class:`VAE`."""

    latent_features: Annotated[
        int, Field(1, 512, step=1, symbol="Z", help="Number of latent coordinates.")
    ] = 2
    hidden_features: Annotated[
        tuple[int, ...],
        Field(1, 4096, help="Widths of the encoder's hidden layers; the decoder's are reversed."),
    ] = (128, 128)
    activation: Annotated[
        str, Field(choices=tuple(ACTIVATIONS), help="Nonlinearity of both networks.")
    ] = "silu"
    decoder_scale: Annotated[
        str,
        Field(
            choices=("network", "per_dimension"),
            symbol=r"\sigma_x",
            help="Decoder noise: read off z by the network, or one learned width per coordinate.",
        ),
    ] = "network"
    learning_rate: Annotated[
        float, Field(1e-6, 0.1, scale="log", symbol=r"\eta", live=True, help="Adam's step size.")
    ] = 2e-3
    batch_size: Annotated[
        int, Field(1, 65536, scale="log", symbol="B", live=True, help="Points per step.")
    ] = 256


@dataclass(frozen=True)
class DiagonalPosterior:
    """q(z given x) = N(mean, diag scale²), both (B, Z)."""

    mean: Tensor
    scale: Tensor

    @property
    def distribution(self) -> Distribution:
        """Batch (B,), event (Z,)."""
        normal = Normal(self.mean, self.scale, validate_args=False)
        return Independent(normal, 1, validate_args=False)

    def sample(self, k: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """K draws μ + σ ε, with gradient: ({"z": (K, B, Z)}, log_q (K, B))."""
        noise = normal_noise((k, *self.mean.shape), generator, self.mean)
        return {"z": self.mean + self.scale * noise}, normal_log_prob(noise, self.scale.log())

    @property
    def kl(self) -> Tensor:
        """KL(q‖N(0, I)) in closed form, (B,), nats."""
        variance = self.scale.square()
        return -0.5 * (1.0 + variance.log() - self.mean.square() - variance).sum(-1)


class VAE(GenerativeModel):
    """A Gaussian encoder and a Gaussian decoder, trained at β = 1."""

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
        lacks={
            Capability.LOG_PROB: (
                "The density of x is an integral over every latent z, which nobody can do: a VAE "
                "offers a bound instead."
            ),
        },
    )

    def __init__(self, event_shape: tuple[int, ...], config: VAEConfig) -> None:
        super().__init__(event_shape, config)
        size, hidden = self.event_size, config.hidden_features
        kind = config.activation
        self.encoder = MLP(size, hidden, 2 * config.latent_features, activation=kind)
        n_out = 2 * size if config.decoder_scale == "network" else size
        self.decoder = MLP(config.latent_features, hidden[::-1], n_out, activation=kind)
        for layer in (*list(self.encoder)[:-1], *list(self.decoder)[:-1]):
            if isinstance(layer, nn.Linear):
                # Torch's own start shrinks the signal from layer to layer, and the latents die.
                nn.init.kaiming_normal_(layer.weight)
        self.log_scale: nn.Parameter | None = None
        if config.decoder_scale == "per_dimension":
            self.log_scale = nn.Parameter(torch.full((size,), LOG_SCALE_START))

    # --- training -----------------------------------------------------------------------------

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Mean of −ELBO with one draw, in nats, and its parts.

        ``total`` = ``nll`` = ``reconstruction`` + ``kl``, where the first part is −log p(x given
        z) of the data in the units given.
        """
        u = self.standardise(x)
        posterior = self._posterior(u)
        latents, _ = posterior.sample(1, generator)
        reconstruction = -self._decoder_log_prob(u, latents["z"]).mean()
        kl = posterior.kl.mean()
        total = reconstruction + kl
        return {"total": total, "nll": total, "reconstruction": reconstruction, "kl": kl}

    def elbo(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        n_draws: int = 1,
        generator: torch.Generator,
    ) -> Elbo:
        """The bound of (B, *E), with KL in closed form and the mean of K reconstructions."""
        u = self.standardise(x)
        posterior = self._posterior(u)
        latents, log_q = posterior.sample(n_draws, generator)
        log_prob_given_z = self._decoder_log_prob(u, latents["z"])
        log_prior = normal_log_prob(latents["z"], torch.zeros_like(latents["z"]))
        reconstruction, kl = log_prob_given_z.mean(0), posterior.kl
        log_weights = log_prob_given_z + log_prior - log_q
        return Elbo(reconstruction - kl, reconstruction, {"z": kl}, log_weights)

    def _decoder_log_prob(self, u: Tensor, z: Tensor) -> Tensor:
        """log p(x given z) in units of the data, of u (B, D) and z (K, B, Z), (K, B)."""
        mean, log_scale = self._decoded(z)
        noise = (u - mean) * torch.exp(-log_scale)
        return normal_log_prob(noise, log_scale) + self.standardise_log_det

    # --- encoder and decoder ------------------------------------------------------------------

    def encode(self, x: Tensor, *, context: Tensor | None = None) -> DiagonalPosterior:
        """q(z given x) of (B, *E)."""
        return self._posterior(self.standardise(x))

    def _posterior(self, u: Tensor) -> DiagonalPosterior:
        mean, log_scale = self.encoder(u).chunk(2, -1)
        log_scale = (log_scale + LOG_SCALE_START).clamp(*LOG_SCALE_BOUNDS)
        return DiagonalPosterior(mean, log_scale.exp())

    def _decoded(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log σ of p(u given z) of z (…, Z), (…, D) each, in standardised units."""
        out = self.decoder(z)
        if self.log_scale is None:
            mean, log_scale = out.chunk(2, -1)
            log_scale = log_scale + LOG_SCALE_START
        else:
            mean, log_scale = out, self.log_scale.expand_as(out)
        return mean, log_scale.clamp(*LOG_SCALE_BOUNDS)

    @property
    def latents(self) -> tuple[Latent, ...]:
        """One vector "z"."""
        return (Latent("z", (self.config.latent_features,)),)

    def prior(self, parents: Latents) -> Distribution:
        """Standard normal, event (Z,)."""
        if "z" in parents:
            raise ValueError("prior: given z, wanted no parents: it is the only latent")
        zeros = torch.zeros(self.config.latent_features).to(self.location)
        normal = Normal(zeros, torch.ones_like(zeros), validate_args=False)
        return Independent(normal, 1, validate_args=False)

    def decode(self, latents: Latents, *, context: Tensor | None = None) -> Distribution:
        """p(x given z) of z (…, Z): an independent normal with event *E, in the data's units."""
        mean, log_scale = self._decoded(latents["z"])
        spread = (log_scale.exp() * self.scale).reshape(*mean.shape[:-1], *self.event_shape)
        normal = Normal(self.unstandardise(mean), spread, validate_args=False)
        return Independent(normal, len(self.event_shape), validate_args=False)

    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """Ancestral draws (N, *E): z from the prior, x from the decoder with its noise."""
        z = draw(self.prior({}), generator, (n,))
        return draw(self.decode({"z": z}), generator)


def normal_log_prob(noise: Tensor, log_scale: Tensor) -> Tensor:
    """Log N(μ + σ ε; μ, σ²) of ε (…, D) and log σ (…, D), summed over D, nats."""
    return -(0.5 * noise.square() + log_scale + 0.5 * LOG_TWO_PI).sum(-1)
