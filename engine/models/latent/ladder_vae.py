r"""A hierarchy in which the data's opinion of a level is merged with the prior's, by precision.

A deterministic pass climbs from the data and leaves a Gaussian opinion at every level. The levels
are then drawn from the top down: each from the product of that opinion and the prior given the
level above. A level of which the data say nothing thus costs nothing, and one that knows something
need not say it all by itself. Warm-up of the KL and batch normalisation keep upper levels alive.

.. math::
    q(z_l \mid z_{l+1}, x) = \mathcal N(\mu, \sigma^2), \quad
    \sigma^2 = \frac{1}{\hat\sigma_q^{-2} + \sigma_p^{-2}}, \quad
    \mu = \bigl(\hat\mu_q \hat\sigma_q^{-2} + \mu_p \sigma_p^{-2}\bigr)\, \sigma^2

References:
    Sønderby, Raiko, Maaløe, Sønderby and Winther, *Ladder Variational Autoencoders*, NeurIPS 2016.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from engine.nets.batch_norm import BatchNorm, normalise_layers, without_bias
from engine.nets.coders import make_encoder
from engine.nets.diagonal import diagonal_posterior
from engine.nets.gaussian_product import merged
from engine.nets.hierarchy import (
    DrawnLevel,
    HierarchyConfig,
    HierarchyModel,
    draw_level,
    level_name,
)
from engine.nets.latent_model import LACKS
from engine.nets.mlp import find_activation
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


@dataclass(frozen=True)
class LadderVAEConfig(HierarchyConfig):
    """Settings of :class:`LadderVAE`."""

    batch_norm: Annotated[
        bool,
        Field(help="Normalise hidden values over the batch, in all networks."),
    ] = True
    warm_up_steps: Annotated[
        int,
        Field(
            0,
            10_000_000,
            live=True,
            help="Steps over which the price of the KL grows evenly from 0 to 1, so that upper "
            "levels are not given up at once; 0 for none. The ELBO shown is at 1 throughout.",
        ),
    ] = 1000


class LadderVAE(HierarchyModel):
    """Deterministic features climb, draws come down, and a merge by precision joins them."""

    Config = LadderVAEConfig
    card = ModelCard(
        name="ladder_vae",
        title="Ladder VAE",
        family="latent",
        summary=(
            "A hierarchy whose encoder comes down the decoder's own ladder: at each level what "
            "the data say and what the level above says are merged, each by how sure it is."
        ),
        equation=(
            r"q(z_l|z_{l+1},x)\propto\mathcal{N}\left(z_l;\hat\mu_l,\hat\sigma_l^2\right)"
            r"\,p(z_l|z_{l+1})"
        ),
        paper=Paper(
            authors="Casper Kaae Sønderby and others",
            year=2016,
            title="Ladder Variational Autoencoders",
            where="NeurIPS 2016",
        ),
        lacks=LACKS,
    )

    def __init__(self, event_shape: tuple[int, ...], config: LadderVAEConfig) -> None:
        super().__init__(event_shape, config)
        if config.batch_norm:
            self.decoder = normalise_layers(self.decoder)
        width, sizes = self.width, self.level_sizes
        self.up = nn.ModuleList(self._features(self.make_net(width, width)) for _ in sizes[1:])
        self.opinions = nn.ModuleList(nn.Linear(width, 2 * size) for size in sizes)

    def make_encoder(self) -> nn.Module:
        """Inputs (…, D) → the lowest level's features (…, H)."""
        config: LadderVAEConfig = self.config
        encoder = make_encoder(
            config.network,
            self.event_shape,
            config.hidden_features,
            self.width,
            activation=config.activation,
        )
        return self._features(normalise_layers(encoder) if config.batch_norm else encoder)

    def make_net(self, in_features: int, out_features: int) -> nn.Module:
        """A dense network from one level to the next, its hidden values normalised."""
        net = super().make_net(in_features, out_features)
        return normalise_layers(net) if self.config.batch_norm else net

    def _features(self, net: nn.Module) -> nn.Module:
        """A network with its output normalised and bent, as features for the next one."""
        bend = find_activation(self.config.activation)()
        if not self.config.batch_norm:
            return nn.Sequential(net, bend)
        if isinstance(net, nn.Sequential):
            without_bias(net[-1])
        return nn.Sequential(net, BatchNorm(self.width), bend)

    def climb(
        self, inputs: Tensor, k: int, generator: torch.Generator
    ) -> Mapping[str, DrawnLevel]:
        """Features of every level, then K draws of each from the top down."""
        features = [self.encoder(inputs)]  # (B, H) each
        for net in self.up:
            features.append(net(features[-1]))
        found: dict[str, DrawnLevel] = {}
        above: Tensor | None = None
        for level in reversed(range(len(features))):
            q = diagonal_posterior(self.opinions[level](features[level]), level_name(level))
            p = None if above is None else self.given_above(level, above)
            q = q if p is None else merged(q, p)
            above, noise = draw_level(q, k, generator)
            found[q.name] = DrawnLevel(above, noise, q, p, is_given_above=True)
        return found
