r"""IAF: inverse autoregressive flow, as a density.

Every coordinate of the noise is scaled and shifted by what a masked network reads off the *noise*
before it, so that all coordinates of a sample come out of one pass of each network. The density
of a point from outside must first find its noise, one coordinate after the other: D passes. It is
MAF with density and sampling exchanged.

.. math::
    x_i = \mu_i(z_{<i}) + e^{\alpha_i(z_{<i})} z_i, \qquad
    \log p(x) = \log \mathcal N(z; 0, I) - \sum_l \sum_i \alpha_{l,i}(z_{<i})

The paper's gate, σ z + (1 − σ) m, can only shrink; here a scale may be above 1 too, as a density
of given data needs it, and is bounded as MAF's (:mod:`engine.bijections.affine`).

References:
    Kingma, Salimans, Jozefowicz, Chen, Sutskever and Welling, *Improved Variational Inference with
    Inverse Autoregressive Flow*, NeurIPS 2016; as a density: Papamakarios, Pavlakou and Murray,
    *Masked Autoregressive Flow for Density Estimation*, NeurIPS 2017, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor

from engine.bijections.affine_layer import AffineLayer
from engine.bijections.autoregressive import autoregressive
from engine.bijections.conditioner import Matrices, autoregressive_masks
from engine.bijections.packed_flow import WiredFlow
from engine.bijections.reversed import Reversed
from engine.bijections.settings import AdamRateSetting, GradientNormSetting, PointsSetting
from engine.bijections.wiring import Wiring
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


class IAF(WiredFlow):
    """A stack of inverse autoregressive layers; with one coordinate it is a learned Gaussian."""

    card = ModelCard(
        name="iaf",
        title="IAF",
        family="flows",
        summary=(
            "Each coordinate is shifted and scaled by what a masked network reads off the noise "
            "before it. A sample takes one pass of every network, the density of a given point "
            "one pass per coordinate: MAF the other way round."
        ),
        equation=(
            r"x_i = \mu_i(z_{<i}) + e^{\alpha_i(z_{<i})}\, z_i, \quad "
            r"\log p(x) = \log \mathcal{N}(z; 0, I) - \sum_l \sum_i \alpha_{l,i}(z_{<i})"
        ),
        paper=Paper(
            "Diederik P. Kingma and others",
            2016,
            "Improved Variational Inference with Inverse Autoregressive Flow",
            "NeurIPS",
        ),
    )

    @dataclass(frozen=True)
    class Config:
        """Settings of IAF."""

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
        """(L, D): per layer, data → base, the coordinates in the order in which noise is found."""
        return torch.stack([self._order(index) for index in range(len(self.wirings))])

    def trained_layers(self) -> Sequence[Reversed]:
        """The autoregressive layers, data → base; each runs freely from base to data."""
        pairs = zip(self.wirings, self.matrices(), strict=True)
        return [Reversed(AffineLayer(*pair)) for pair in pairs]

    def _order(self, index: int) -> Tensor:
        natural = torch.arange(self.event_size)
        return natural.flip(0) if index % 2 else natural

    def _wiring(self, index: int) -> Wiring:
        wiring = autoregressive(index, self.event_size, self.config.hidden_features)
        return replace(wiring, name=f"inverse {wiring.name}")

    def _masks(self, index: int) -> Matrices:
        return autoregressive_masks(self._order(index), self.config.hidden_features)
