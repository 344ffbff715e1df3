r"""RealNVP: real-valued non-volume-preserving transformations.

Half of the coordinates are scaled and shifted by amounts that a network reads off the other half,
and the halves change roles from layer to layer. Both directions and the determinant are cheap,
however complicated the network is.

.. math::
    y_a = x_a, \qquad y_b = x_b \odot e^{s(x_a)} + t(x_a), \qquad
    \log p(x) = \log \mathcal N(f(x); 0, I) + \sum_l \sum_b s_l(x_a)

The log-scale is bounded, see :mod:`engine.bijections.affine`.

References:
    Dinh, Sohl-Dickstein and Bengio, *Density Estimation Using Real NVP*, ICLR 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from engine.bijections.affine_flow import AffineFlow
from engine.bijections.coupling import coupling
from engine.bijections.settings import AdamRateSetting, GradientNormSetting, PointsSetting
from engine.bijections.wiring import Wiring
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


class RealNVP(AffineFlow):
    """A stack of affine couplings; with one coordinate it is a learned Gaussian."""

    card = ModelCard(
        name="realnvp",
        title="RealNVP",
        family="flows",
        summary=(
            "Half of the coordinates are scaled and shifted by what a network reads off the "
            "other half, and the halves take turns. Every layer can be inverted exactly, and its "
            "log-determinant is a sum of log-scales."
        ),
        equation=(
            r"y_a = x_a, \quad y_b = x_b \odot e^{s(x_a)} + t(x_a), \quad "
            r"\log p(x) = \log \mathcal{N}(f(x); 0, I) + \sum_l \sum_b s_l(x_a)"
        ),
        paper=Paper(
            "Laurent Dinh, Jascha Sohl-Dickstein, Samy Bengio",
            2017,
            "Density Estimation Using Real NVP",
            "ICLR",
        ),
    )

    @dataclass(frozen=True)
    class Config:
        """Settings of RealNVP."""

        n_layers: Annotated[
            int, Field(1, 64, step=1, symbol="L", help="Number of affine couplings.")
        ] = 8
        hidden_features: Annotated[
            tuple[int, ...], Field(1, 1024, help="Widths of each coupling's network.")
        ] = (64, 64)
        learning_rate: AdamRateSetting = 2e-3
        batch_size: PointsSetting = 256
        max_gradient_norm: GradientNormSetting = 1.0

    def _wiring(self, index: int) -> Wiring:
        return coupling(index, self.event_size, self.config.hidden_features)
