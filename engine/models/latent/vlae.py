r"""The variational ladder autoencoder: independent latents, each entering at a depth of its own.

No latent depends on another: the prior is flat. What makes a hierarchy is the networks alone. A
latent that enters the decoder early passes through many layers and can become abstract, one that
enters late can only do simple things, and the encoder reads each off at the matching depth.

.. math::
    p(z) = \prod_{l=1}^{L} \mathcal N(z_l; 0, I), \qquad
    q(z \mid x) = \prod_{l=1}^{L} \mathcal N(z_l; \mu_l(h_l), \sigma_l^2(h_l)), \qquad
    x \sim p(x \mid g_1), \; g_l = f_l(g_{l+1}, z_l), \; h_l = e_l(h_{l-1})

It is not the Ladder VAE, whose levels depend on each other, nor the variational *lossy*
autoencoder of Chen and others, which has the same letters.

References:
    Zhao, Song and Ermon, *Learning Hierarchical Features from Generative Models*, ICML 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from engine.latents import Latent, Latents
from engine.nets.branches import BranchingDecoder, BranchingEncoder, Shape, branch_shapes
from engine.nets.diagonal import DiagonalPosterior, diagonal_posterior
from engine.nets.latent_model import LACKS, Drawn, LatentConfig, LatentModel
from engine.nets.likelihoods import Params
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


@dataclass(frozen=True)
class VLAEConfig(LatentConfig):
    """Settings of :class:`VLAE`."""

    latent_features: Annotated[
        int, Field(1, 512, step=1, symbol="Z", help="Latent coordinates of each level.")
    ] = 2
    hidden_features: Annotated[
        tuple[int, ...],
        Field(
            1,
            4096,
            help="Widths of the encoder's hidden layers, or channels of its convolutions. Each "
            "layer has a latent of its own; the decoder's layers are reversed.",
        ),
    ] = (128, 128, 128)


@dataclass(frozen=True)
class FactorisedPosterior:
    """q(z given x) = Π q(z_l given x): one diagonal Gaussian (B, Z) per level."""

    levels: tuple[DiagonalPosterior, ...]

    def sample(self, k: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """K draws with gradient: ({latent: (K, B, Z)}, log_q (K, B))."""
        drawn = [level.sample(k, generator) for level in self.levels]
        latents = {name: z for each, _ in drawn for name, z in each.items()}
        return latents, torch.stack([log_q for _, log_q in drawn]).sum(0)

    def part(self, name: str) -> DiagonalPosterior | None:
        """q of one level, which knows nothing of the others."""
        return next((level for level in self.levels if level.name == name), None)

    @property
    def unit_kl(self) -> dict[str, Tensor]:
        """KL(q‖N(0, 1)) of each unit in closed form, {latent: (B, Z)}, nats."""
        return {level.name: level.kl_of_each for level in self.levels}


class VLAE(LatentModel):
    """Latents z_L … z_1 without parents; z_L enters the decoder first, z_1 last."""

    Config = VLAEConfig
    card = ModelCard(
        name="vlae",
        title="VLAE",
        family="latent",
        summary=(
            "Independent latents that enter the decoder at different depths: early ones pass "
            "through many layers and can learn what a picture is of, late ones how it is drawn."
        ),
        equation=r"p(x,z)=p\left(x|g(z_1,\ldots,z_L)\right)\prod_{l}\mathcal{N}(z_l;0,I)",
        paper=Paper(
            authors="Shengjia Zhao, Jiaming Song, Stefano Ermon",
            year=2017,
            title="Learning Hierarchical Features from Generative Models",
            where="ICML 2017",
        ),
        lacks=LACKS,
    )

    def __init__(self, event_shape: tuple[int, ...], config: VLAEConfig) -> None:
        super().__init__(event_shape, config)
        # Heads begin small, as the last layer of any other encoder does.
        for head in cast("BranchingEncoder", self.encoder).heads:
            cast("nn.Linear", head).reset_parameters()

    # --- networks -----------------------------------------------------------------------------

    @property
    def shapes(self) -> list[Shape]:
        """Shapes of the data and of the hidden layers."""
        config: VLAEConfig = self.config
        return branch_shapes(config.network, self.event_shape, config.hidden_features)

    def make_encoder(self) -> nn.Module:
        """Inputs (…, D) → (…, L·2Z), a mean and log-scale per level, the lowest first."""
        config: VLAEConfig = self.config
        n_out = 2 * config.latent_features
        return BranchingEncoder(self.shapes, n_out, activation=config.activation)

    def make_decoder(self) -> nn.Module:
        """Latents (…, L·Z), the lowest first → (…, P·D)."""
        config: VLAEConfig = self.config
        n_params = self.likelihood.n_params if config.decoder_scale == "network" else 1
        return BranchingDecoder(
            self.shapes, config.latent_features, n_params, activation=config.activation
        )

    # --- latents ------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """z_1 … z_L, the lowest first."""
        return tuple(f"z_{level}" for level in range(1, len(self.config.hidden_features) + 1))

    @property
    def latents(self) -> tuple[Latent, ...]:
        """z_L … z_1; any order would do, as none has parents."""
        return tuple(Latent(name, (self.config.latent_features,)) for name in self.names[::-1])

    def prior(self, parents: Latents) -> Distribution:
        """N(0, I) of the next level, whatever those before it are; event (Z,)."""
        name = next((n for n in self.names[::-1] if n not in parents), None)
        if name is None:
            raise ValueError(f"prior: given all of {', '.join(self.names)}, wanted one left out")
        zeros = torch.zeros(self.config.latent_features).to(self.location)
        return DiagonalPosterior(zeros, zeros, name).distribution

    def posterior(self, inputs: Tensor) -> FactorisedPosterior:
        """q over all levels of what the encoder sees, (B, D)."""
        outs = torch.split(self.encoder(inputs), 2 * self.config.latent_features, -1)
        pairs = zip(outs, self.names, strict=True)
        return FactorisedPosterior(tuple(diagonal_posterior(out, name) for out, name in pairs))

    def kl_terms(self, drawn: Drawn) -> dict[str, Tensor]:
        """KL(q‖N(0, I)) of each level, {latent: (B,)}, in closed form."""
        posterior: FactorisedPosterior = drawn.posterior
        return {level.name: level.kl for level in posterior.levels[::-1]}

    def params(self, latents: Latents) -> Params:
        """What the likelihood reads, of all levels."""
        return super().params({"z": torch.cat([latents[name] for name in self.names], -1)})
