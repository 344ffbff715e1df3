r"""MAF: masked autoregressive flow.

Every coordinate is standardised by a mean and a scale that depend on the coordinates before it,
and a stack of such layers, each with the order reversed, maps data to noise. The density takes
one pass of each network; drawing a sample takes D, one per coordinate.

.. math::
    x_i = \mu_i(x_{<i}) + e^{\alpha_i(x_{<i})} u_i, \qquad
    \log p(x) = \log \mathcal N(u; 0, I) - \sum_l \sum_i \alpha_{l,i}(x_{<i})

The network puts out s = −α, bounded, and t = −μ exp(−α), see :mod:`engine.bijections.affine`; the
masks are MADE's.

References:
    Papamakarios, Pavlakou and Murray, *Masked Autoregressive Flow for Density Estimation*,
    NeurIPS 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from engine.bijections.affine_flow import AffineFlow
from engine.bijections.autoregressive import autoregressive
from engine.bijections.conditioner import Matrices, autoregressive_masks
from engine.bijections.settings import AdamRateSetting, GradientNormSetting, PointsSetting
from engine.bijections.wiring import Wiring
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


class MAF(AffineFlow):
    """A stack of masked autoregressive layers; with one coordinate it is a learned Gaussian."""

    card = ModelCard(
        name="maf",
        title="MAF",
        family="flows",
        summary=(
            "Each coordinate is shifted and scaled by what a masked network reads off the "
            "coordinates before it, and the order is reversed from layer to layer. The density "
            "takes one pass of every network, a sample takes one pass per coordinate."
        ),
        equation=(
            r"x_i = \mu_i(x_{<i}) + e^{\alpha_i(x_{<i})}\, u_i, \quad "
            r"\log p(x) = \log \mathcal{N}(u; 0, I) - \sum_l \sum_i \alpha_{l,i}(x_{<i})"
        ),
        paper=Paper(
            "George Papamakarios, Theo Pavlakou, Iain Murray",
            2017,
            "Masked Autoregressive Flow for Density Estimation",
            "NeurIPS",
        ),
    )

    @dataclass(frozen=True)
    class Config:
        """Settings of MAF."""

        n_layers: Annotated[
            int, Field(1, 64, step=1, symbol="L", help="Number of autoregressive layers.")
        ] = 8
        hidden_features: Annotated[
            tuple[int, ...], Field(1, 1024, help="Widths of each layer's masked network.")
        ] = (64, 64)
        learning_rate: AdamRateSetting = 2e-3
        batch_size: PointsSetting = 256
        max_gradient_norm: GradientNormSetting = 1.0

    @property
    def orders(self) -> Tensor:
        """(L, D): per layer the coordinates in the order in which samples are drawn."""
        return torch.stack([self._order(index) for index in range(len(self.wirings))])

    def _order(self, index: int) -> Tensor:
        natural = torch.arange(self.event_size)
        return natural.flip(0) if index % 2 else natural

    def _wiring(self, index: int) -> Wiring:
        return autoregressive(index, self.event_size, self.config.hidden_features)

    def _masks(self, index: int) -> Matrices:
        return autoregressive_masks(self._order(index), self.config.hidden_features)
