r"""Radial flow: a normal cloud is pushed away from points, or drawn to them.

Each map stretches or squeezes space around one point, less the further away; it has no network at
all, only a centre and two numbers. It is planar flow's sister, with balls in the place of
hyperplanes.

.. math::
    z_k = z_{k-1} + \frac{\hat\beta_k}{\alpha_k + r_k}\,(z_{k-1} - c_k), \qquad
    r_k = \lVert z_{k-1} - c_k \rVert, \qquad \hat\beta_k \ge -\alpha_k

The maps run from base to data, as in the paper. The way back is the positive root of a quadratic
equation (:mod:`engine.bijections.radial`), so that draws and the density of given data cost the
same.

References:
    Rezende and Mohamed, *Variational Inference with Normalizing Flows*, ICML 2015, section 4.1 and
    appendix A.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch

from engine.bijections.packed_flow import PackedFlow
from engine.bijections.radial import Radial, alpha_and_total
from engine.bijections.reversed import Reversed
from engine.bijections.settings import AdamRateSetting, GradientNormSetting, PointsSetting
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: Where β starts: near the identity.
START = 0.1


class RadialFlow(PackedFlow):
    """A stack of radial maps."""

    card = ModelCard(
        name="radial",
        title="Radial flow",
        family="flows",
        summary=(
            "A normal cloud is pushed away from one point after the other, or drawn to it. Each "
            "map has a centre, a reach and a strength, kept where the map can be undone."
        ),
        equation=(
            r"z_k = z_{k-1} + \frac{\hat{\beta}_k}{\alpha_k + r_k} (z_{k-1} - c_k), \quad "
            r"r_k = \|z_{k-1} - c_k\|, \quad \hat{\beta}_k \geq -\alpha_k"
        ),
        paper=Paper(
            "Danilo Jimenez Rezende, Shakir Mohamed",
            2015,
            "Variational Inference with Normalizing Flows",
            "ICML",
        ),
    )

    @dataclass(frozen=True)
    class Config:
        """Settings of the radial flow."""

        n_layers: Annotated[
            int, Field(1, 128, step=1, symbol="K", help="Number of radial maps.")
        ] = 32
        learning_rate: AdamRateSetting = 5e-3
        batch_size: PointsSetting = 256
        max_gradient_norm: GradientNormSetting = 1.0

    def __init__(self, event_shape: tuple[int, ...], config: Config) -> None:
        super().__init__(event_shape, config)
        self.pack([((config.n_layers, self.event_size), (2, config.n_layers))])
        with torch.no_grad():
            centres, numbers = self.matrices()[0]
            centres.normal_()
            numbers[0] = 0.0
            numbers[1].normal_(std=START)

    def maps(self) -> list[Radial]:
        """The radial maps, the first one nearest to the base."""
        centres, numbers = self.matrices()[0]
        alpha, total = alpha_and_total(numbers[0], numbers[1])
        rows = zip(centres.unbind(), alpha.unbind(), total.unbind(), strict=True)
        return [Radial(*row, f"radial {k}") for k, row in enumerate(rows, 1)]

    def trained_layers(self) -> Sequence[Reversed]:
        """The layers, data → base."""
        return [Reversed(one) for one in reversed(self.maps())]
