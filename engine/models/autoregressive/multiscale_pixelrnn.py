r"""Multi-scale PixelRNN: a small picture is painted first, the large one around its pixels.

Every f-th pixel of every f-th row makes the small picture, which a PixelRNN of its own paints. A
second one paints all other pixels in raster order, with the enlarged small picture as a bias of
its gates, so it knows from the start what the picture will be.

.. math::
    p(x) = \prod_{i=1}^{s^2} p(x^{s}_i \mid x^{s}_{<i})
    \prod_{j \notin s} p(x_j \mid x_{<j}, x^{s})

References:
    van den Oord, Kalchbrenner and Kavukcuoglu, *Pixel Recurrent Neural Networks*, ICML 2016,
    section 3.6. There the large network paints the small picture's pixels once more; here they
    are kept, which makes the product a normalised p(x).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from engine.nets.multiscale_pixels import MultiscaleCache, MultiscalePixels
from engine.nets.outputs import OUTPUTS
from engine.nets.pixel_model import PixelModel
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


@dataclass(frozen=True)
class MultiscalePixelRNNConfig:
    """Settings of :class:`MultiscalePixelRNN`."""

    factor: Annotated[
        int,
        Field(2, 8, step=2, symbol="f", help="The small picture has H/f rows and W/f columns."),
    ] = 4
    layer: Annotated[
        str, Field(choices=("row", "diagonal"), help="Row LSTM or Diagonal BiLSTM, in both nets.")
    ] = "row"
    n_layers: Annotated[
        int, Field(1, 12, step=1, symbol="L", help="Recurrent layers of each net.")
    ] = 2
    n_channels: Annotated[
        int, Field(4, 128, step=8, symbol="C", help="Size of a state; 2C maps go past a layer.")
    ] = 16
    output: Annotated[
        str, Field(choices=OUTPUTS, help="The distribution of each value, given earlier ones.")
    ] = "categorical"
    n_components: Annotated[
        int, Field(1, 20, step=1, symbol="K", help="Curves of a mixture output.")
    ] = 5
    learning_rate: Annotated[
        float, Field(1e-5, 1e-1, scale="log", live=True, help="Step size of Adam.")
    ] = 3e-3
    batch_size: Annotated[
        int, Field(1, 1024, scale="log", live=True, help="Pictures per training step.")
    ] = 32
    levels: Annotated[
        int | None, Field(2, 256, derived=True, help="Levels of a value; none when real.")
    ] = 2


class MultiscalePixelRNN(PixelModel):
    """A small unconditional PixelRNN, and a large one given its picture."""

    Config = MultiscalePixelRNNConfig
    card = ModelCard(
        name="multiscale_pixelrnn",
        title="Multi-scale PixelRNN",
        family="autoregressive",
        summary=(
            "One recurrent network paints a small picture, a second one the pixels between, with "
            "the enlarged small picture as a bias of all its gates. It knows early what the "
            "whole will be."
        ),
        equation=(
            r"p(x)=\prod_{i=1}^{s^2}p(x^{s}_i\mid x^{s}_{<i})"
            r"\prod_{j\notin s}p(x_j\mid x_{<j},x^{s})"
        ),
        paper=Paper(
            authors="A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu",
            year=2016,
            title="Pixel Recurrent Neural Networks",
            where="ICML",
        ),
    )

    def __init__(self, event_shape: tuple[int, ...], config: MultiscalePixelRNNConfig) -> None:
        super().__init__(event_shape, config)
        self.net = MultiscalePixels(
            config.layer,
            self.picture,
            config.factor,
            n_maps=config.n_channels,
            n_layers=config.n_layers,
            n_params=self.family.n_params,
        )
        self.start_head(self.net.small.last)
        self.start_head(self.net.large.last)
        self._order.copy_(torch.cat(self.net.stages()))

    def params(self, u: Tensor, labels: Tensor | None) -> Tensor:
        """Inputs (B, C, H, W) → parameters of all conditionals, (B, C·P, H, W)."""
        y: Tensor = self.net(u)
        return y

    def cache(self, n: int, labels: Tensor | None) -> MultiscaleCache:
        """An empty cache for n pictures."""
        return MultiscaleCache(self.net, n)
