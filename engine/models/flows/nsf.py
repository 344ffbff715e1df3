r"""NSF: neural spline flow.

Where RealNVP and MAF scale and shift a coordinate, here it passes through a whole monotone curve:
a rational-quadratic spline whose knots and slopes a network reads off other coordinates. One layer
can therefore cut a line into many pieces, and the inverse still has a closed form.

.. math::
    y_i = g_{\theta_i}(x_i), \qquad \theta_i = \mathrm{net}(x_{<i}) \text{ or } \mathrm{net}(x_a),
    \qquad \log p(x) = \log \mathcal N(z; 0, I) + \sum_l \sum_i \log g'_{l,i}

Within ±B the spline has K bins; beyond, a coordinate passes unchanged. As coupling (RQ-NSF (C))
both directions take one pass; as autoregressive layer (RQ-NSF (AR)) a sample takes D.

References:
    Durkan, Bekasov, Murray and Papamakarios, *Neural Spline Flows*, NeurIPS 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from engine.bijections.autoregressive import autoregressive
from engine.bijections.conditioner import Matrices, autoregressive_masks
from engine.bijections.coupling import coupling
from engine.bijections.packed_flow import HandWrittenFlow
from engine.bijections.settings import AdamRateSetting, GradientNormSetting, PointsSetting
from engine.bijections.spline_layer import SplineLayer
from engine.bijections.spline_nll import SplineNLL
from engine.bijections.wiring import Wiring
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


class NSF(HandWrittenFlow):
    """A stack of spline layers; with one coordinate it is a learned spline."""

    card = ModelCard(
        name="nsf",
        title="Neural spline flow",
        family="flows",
        summary=(
            "Each coordinate passes through a monotone curve, a spline whose knots a network "
            "reads off other coordinates. One layer can cut a line into many pieces, and its "
            "inverse has a closed form all the same."
        ),
        equation=(
            r"y_i = g_{\theta_i}(x_i), \quad \theta_i = \mathrm{net}(x_{<i}), \quad "
            r"\log p(x) = \log \mathcal{N}(z; 0, I) + \sum_l \sum_i \log g'_{l,i}"
        ),
        paper=Paper(
            "Conor Durkan, Artur Bekasov, Iain Murray, George Papamakarios",
            2019,
            "Neural Spline Flows",
            "NeurIPS",
        ),
    )

    @dataclass(frozen=True)
    class Config:
        """Settings of the neural spline flow."""

        n_layers: Annotated[
            int, Field(1, 64, step=1, symbol="L", help="Number of spline layers.")
        ] = 5
        layer: Annotated[
            str,
            Field(
                choices=("autoregressive", "coupling"),
                help=(
                    "Autoregressive: each coordinate sees all before it, and samples take a pass "
                    "for each. Coupling: one half sees the other, in one pass either way."
                ),
            ),
        ] = "autoregressive"
        n_bins: Annotated[int, Field(2, 64, step=1, symbol="K", help="Bins of each spline.")] = 8
        bound: Annotated[
            float,
            Field(
                1.0,
                20.0,
                symbol="B",
                help="Splines act within ± this, in standard deviations of the data.",
            ),
        ] = 5.0
        hidden_features: Annotated[
            tuple[int, ...], Field(1, 1024, help="Widths of each layer's network.")
        ] = (64, 64)
        learning_rate: AdamRateSetting = 2e-3
        batch_size: PointsSetting = 256
        max_gradient_norm: GradientNormSetting = 1.0

    def trained_layers(self) -> Sequence[SplineLayer]:
        """The spline layers, data → base."""
        pairs = zip(self.wirings, self.matrices(), strict=True)
        return [SplineLayer(*pair, self.config.bound) for pair in pairs]

    def make_nll(self, shape: tuple[int, int]) -> SplineNLL:
        """The likelihood of batches (B, D) of this shape."""
        mask = self.mask if len(self.mask) else None
        return SplineNLL(self.wirings, self.theta, mask, shape, self.config.bound)

    @property
    def orders(self) -> Tensor:
        """(L, D): per layer the coordinates in the order in which samples are drawn."""
        return torch.stack([self._order(index) for index in range(len(self.wirings))])

    @property
    def _n_outputs(self) -> int:
        n_bins: int = self.config.n_bins
        return 3 * n_bins - 1

    def _order(self, index: int) -> Tensor:
        natural = torch.arange(self.event_size)
        return natural.flip(0) if index % 2 else natural

    def _wiring(self, index: int) -> Wiring:
        make = coupling if self.config.layer == "coupling" else autoregressive
        return make(index, self.event_size, self.config.hidden_features, self._n_outputs)

    def _masks(self, index: int) -> Matrices:
        if self.config.layer == "coupling":
            return ()
        hidden = self.config.hidden_features
        return autoregressive_masks(self._order(index), hidden, self._n_outputs)
