r"""Planar flow: a normal cloud is bent across one hyperplane after the other.

Each map moves what lies beyond a hyperplane along a vector, and stretches or squeezes space in
between; it has no network at all, only two vectors and a number. Many are needed for a shape that
one coupling would make, and what each one does can be seen.

.. math::
    z_k = z_{k-1} + \hat u_k \tanh(w_k^\top z_{k-1} + b_k), \qquad
    \log p(x) = \log \mathcal N(z_0; 0, I)
        - \sum_k \log\bigl|1 + \hat u_k^\top w_k\,(1 - \tanh^2(w_k^\top z_{k-1} + b_k))\bigr|

The maps run from base to data, as in the paper: a draw and its density are one formula, which is
what fitting to an energy needs; the density of given data inverts each map by a search for one
number (:mod:`engine.bijections.planar`).
Both ways were tried as densities: with 32 maps, 1500 steps and batches of 256 the moons were
missed by 0.22 nats this way, and by 0.30 nats with maps from data to base. A map can stretch
space as much as it likes, but squeeze it at most to nothing, and gaps between clusters are made by
stretching.

References:
    Rezende and Mohamed, *Variational Inference with Normalizing Flows*, ICML 2015, section 4.1 and
    appendix A.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch

from engine.bijections.packed_flow import PackedFlow
from engine.bijections.planar import Planar, PlanarLayer
from engine.bijections.reversed import Reversed
from engine.bijections.settings import AdamRateSetting, GradientNormSetting, PointsSetting
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: Where the vectors u start: near the identity.
START = 0.1


class PlanarFlow(PackedFlow):
    """A stack of planar maps."""

    card = ModelCard(
        name="planar",
        title="Planar flow",
        family="flows",
        summary=(
            "A normal cloud is bent across one hyperplane after the other. Each map has two "
            "vectors and a number, kept where the map can be undone; the density of a given "
            "point finds its way back by a search for one number a map."
        ),
        equation=(
            r"z_k = z_{k-1} + \hat{u}_k \tanh(w_k^\top z_{k-1} + b_k), \quad "
            r"\log p(x) = \log \mathcal{N}(z_0; 0, I) - \sum_k \log |\det \partial z_k / "
            r"\partial z_{k-1}|"
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
        """Settings of the planar flow."""

        n_layers: Annotated[
            int, Field(1, 128, step=1, symbol="K", help="Number of planar maps.")
        ] = 32
        learning_rate: AdamRateSetting = 5e-3
        batch_size: PointsSetting = 256
        max_gradient_norm: GradientNormSetting = 1.0

    def __init__(self, event_shape: tuple[int, ...], config: Config) -> None:
        super().__init__(event_shape, config)
        rows = (config.n_layers, self.event_size)
        self.pack([(rows, rows, (1, config.n_layers))])
        with torch.no_grad():
            w, u, b = self.matrices()[0]
            w.normal_().div_(self.event_size**0.5)
            u.normal_(std=START)
            b.normal_()

    def maps(self) -> Planar:
        """All maps: w and u (K, D) and b (K), the first one nearest to the base."""
        w, u, b = self.matrices()[0]
        return Planar(w, u, b[0])

    def trained_layers(self) -> Sequence[Reversed]:
        """The layers, data → base."""
        maps = self.maps()
        columns = (maps.w.unbind(), maps.direction.unbind(), maps.room.unbind(), maps.b.unbind())
        layers = [
            PlanarLayer(w, direction, room, b, f"planar {k}")
            for k, (w, direction, room, b) in enumerate(zip(*columns, strict=True), 1)
        ]
        return [Reversed(layer) for layer in reversed(layers)]
