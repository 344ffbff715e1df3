r"""NICE: non-linear independent components estimation.

Half of the coordinates are moved by amounts that a network reads off the other half, and the parts
take turns. Moving is all: no coupling changes any volume, and only a last scale per coordinate
says which of the independent components are wide and which narrow.

.. math::
    y_a = x_a, \qquad y_b = x_b + m(x_a), \qquad z = e^{s} \odot y, \qquad
    \log p(x) = \sum_i \left[-\log(1 + e^{z_i}) - \log(1 + e^{-z_i}) + s_i\right]

References:
    Dinh, Krueger and Bengio, *NICE: Non-linear Independent Components Estimation*, ICLR 2015
    (workshop).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from engine.bijections.additive_layer import AdditiveLayer, DiagonalScale
from engine.bijections.additive_nll import AdditiveNLL
from engine.bijections.base import Bijection
from engine.bijections.bases import LOGISTIC_WIDTH, Logistic
from engine.bijections.conditioner import Shape
from engine.bijections.coupling import coupling
from engine.bijections.packed_flow import HandWrittenFlow
from engine.bijections.settings import AdamRateSetting, GradientNormSetting, PointsSetting
from engine.bijections.wiring import Wiring
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


class NICE(HandWrittenFlow):
    """A stack of additive couplings under a logistic prior, with one scale per coordinate."""

    card = ModelCard(
        name="nice",
        title="NICE",
        family="flows",
        summary=(
            "Half of the coordinates are moved by what a network reads off the other half, and "
            "the halves take turns. Couplings change no volume at all; one last scale per "
            "coordinate says how wide each independent component is."
        ),
        equation=(
            r"y_a = x_a, \quad y_b = x_b + m(x_a), \quad z = e^{s} \odot y, \quad "
            r"\log p(x) = \sum_i \log p_{\mathrm{logistic}}(z_i) + \sum_i s_i"
        ),
        paper=Paper(
            "Laurent Dinh, David Krueger, Yoshua Bengio",
            2014,
            "NICE: Non-linear Independent Components Estimation",
            "ICLR workshop 2015",
        ),
    )

    @dataclass(frozen=True)
    class Config:
        """Settings of NICE."""

        n_layers: Annotated[
            int, Field(1, 64, step=1, symbol="L", help="Number of additive couplings.")
        ] = 8
        hidden_features: Annotated[
            tuple[int, ...], Field(1, 1024, help="Widths of each coupling's network.")
        ] = (64, 64)
        learning_rate: AdamRateSetting = 2e-3
        batch_size: PointsSetting = 256
        max_gradient_norm: GradientNormSetting = 1.0

    def __init__(self, event_shape: tuple[int, ...], config: Config) -> None:
        super().__init__(event_shape, config)
        with torch.no_grad():
            # Standardised data begin as wide as the prior.
            self.log_scale.fill_(math.log(LOGISTIC_WIDTH))

    @property
    def log_scale(self) -> Tensor:
        """s, (D,): a view of θ. Components with large s are narrow, and matter little."""
        return self.theta[-self.event_size :]

    def base(self) -> Logistic:
        """The base: independent standard logistic values."""
        return Logistic(self.location)

    def trained_layers(self) -> Sequence[Bijection]:
        """The couplings, then the scale, data → base."""
        *matrices, (log_scale,) = self.matrices()
        couplings = zip(self.wirings, matrices, strict=True)
        return [*(AdditiveLayer(*pair) for pair in couplings), DiagonalScale(log_scale[0])]

    def make_nll(self, shape: tuple[int, int]) -> AdditiveNLL:
        """The likelihood of batches (B, D) of this shape."""
        return AdditiveNLL(self.wirings, self.theta, shape)

    def _wiring(self, index: int) -> Wiring:
        return coupling(index, self.event_size, self.config.hidden_features, n_outputs=1)

    def _others(self) -> Sequence[Sequence[Shape]]:
        return [((1, self.event_size),)]
