r"""A hierarchy of latents: coarse ones above, which decide about finer ones below.

Each level is a Gaussian whose mean and width a network reads off the level above. The usual
encoder climbs from the data up, one level from the one below; guided by the prior's own order it
goes from the top down instead.

.. math::
    p(x, z) = p(x \mid z_1) \prod_{l=1}^{L-1} p(z_l \mid z_{l+1})\; p(z_L), \qquad
    q(z \mid x) = q(z_1 \mid x) \prod_{l=1}^{L-1} q(z_{l+1} \mid z_l)
    \;\text{ or }\; q(z_L \mid x) \prod_{l=1}^{L-1} q(z_l \mid z_{l+1}, x)

References:
    Rezende, Mohamed and Wierstra, *Stochastic Backpropagation and Approximate Inference in Deep
    Generative Models*, ICML 2014; warm-up: Sønderby and others, NeurIPS 2016.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from engine.nets.coders import make_encoder
from engine.nets.diagonal import diagonal_posterior
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
class HVAEConfig(HierarchyConfig):
    """Settings of :class:`HVAE`."""

    inference: Annotated[
        str,
        Field(
            choices=("bottom_up", "top_down"),
            help="The encoder's order: each level from the one below, or, as samples are drawn, "
            "each from the data and the one above.",
        ),
    ] = "bottom_up"


class HVAE(HierarchyModel):
    """A chain of Gaussian levels with an encoder of its own, bottom-up or top-down."""

    Config = HVAEConfig
    card = ModelCard(
        name="hvae",
        title="Hierarchical VAE",
        family="latent",
        summary=(
            "Latents above latents: the top decides what, the bottom how it looks. Without help "
            "the upper levels often stay idle, which the KL of each level shows."
        ),
        equation=r"p(x,z)=p(x|z_1)\,p(z_1|z_2)\cdots p(z_{L-1}|z_L)\,p(z_L)",
        paper=Paper(
            authors="Danilo Jimenez Rezende, Shakir Mohamed, Daan Wierstra",
            year=2014,
            title=(
                "Stochastic Backpropagation and Approximate Inference in Deep Generative Models"
            ),
            where="ICML 2014",
        ),
        lacks=LACKS,
    )

    def __init__(self, event_shape: tuple[int, ...], config: HVAEConfig) -> None:
        super().__init__(event_shape, config)
        sizes = self.level_sizes
        if self.is_top_down:
            # up[l] reads the features of x, and below the top the level above too.
            above = (*sizes[1:], 0)
            pairs = [
                (self.width + n_above, 2 * n) for n, n_above in zip(sizes, above, strict=True)
            ]
        else:
            pairs = [(below, 2 * n) for below, n in pairwise(sizes)]
        self.up = nn.ModuleList(self.make_net(*pair) for pair in pairs)

    @property
    def is_top_down(self) -> bool:
        """Whether each level is drawn given the one above."""
        return bool(self.config.inference == "top_down")

    @property
    def kl_is_shared(self) -> bool:
        """Bottom-up with two levels or more."""
        return not self.is_top_down and len(self.level_sizes) > 1

    def make_encoder(self) -> nn.Module:
        """Inputs (…, D) → the lowest level's (…, 2Z_1), or features of x for all levels."""
        if not self.is_top_down:
            return super().make_encoder()
        config: HVAEConfig = self.config
        encoder = make_encoder(
            config.network,
            self.event_shape,
            config.hidden_features,
            self.width,
            activation=config.activation,
        )
        return nn.Sequential(encoder, find_activation(config.activation)())

    def climb(
        self, inputs: Tensor, k: int, generator: torch.Generator
    ) -> Mapping[str, DrawnLevel]:
        """K draws of every level, in the order that ``inference`` says."""
        if self.is_top_down:
            return self._go_down(inputs, k, generator)
        return self._go_up(inputs, k, generator)

    def _go_up(self, inputs: Tensor, k: int, generator: torch.Generator) -> dict[str, DrawnLevel]:
        """q(z_1 given x), then each level given the draw below."""
        q = diagonal_posterior(self.encoder(inputs), level_name(0))
        qs, draws = [q], [draw_level(q, k, generator)]
        for level, net in enumerate(self.up, 1):
            below, _ = draws[-1]
            qs.append(diagonal_posterior(net(below), level_name(level)))
            draws.append(draw_level(qs[-1], k, generator))
        found = {}
        for level, (q, (value, noise)) in enumerate(zip(qs, draws, strict=True)):
            top = level == len(qs) - 1
            p = None if top else self.given_above(level, draws[level + 1][0])
            found[q.name] = DrawnLevel(value, noise, q, p, is_given_above=top)
        return found

    def _go_down(
        self, inputs: Tensor, k: int, generator: torch.Generator
    ) -> dict[str, DrawnLevel]:
        """q(z_L given x), then each level given x and the draw above."""
        features = self.encoder(inputs)  # (B, H)
        found: dict[str, DrawnLevel] = {}
        above: Tensor | None = None
        for level in reversed(range(len(self.level_sizes))):
            seen, p = features, None
            if above is not None:
                seen = torch.cat([features.expand(k, *features.shape), above], -1)
                p = self.given_above(level, above)
            q = diagonal_posterior(self.up[level](seen), level_name(level))
            above, noise = draw_level(q, k, generator)
            found[q.name] = DrawnLevel(above, noise, q, p, is_given_above=True)
        return found
