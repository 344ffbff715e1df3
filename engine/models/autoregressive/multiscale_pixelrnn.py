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
from engine.nets.pixel_model import PixelModel
from engine.nets.settings import (
    CurvesSetting,
    LevelsSetting,
    OutputSetting,
    PicturesSetting,
    RateSetting,
    StateSetting,
)
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
    n_channels: StateSetting = 16
    output: OutputSetting = "categorical"
    n_components: CurvesSetting = 5
    learning_rate: RateSetting = 3e-3
    batch_size: PicturesSetting = 32
    levels: LevelsSetting = 2


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

    def cache(self, n: int, labels: Tensor | None) -> MultiscaleCache:
        """An empty cache for n pictures."""
        return MultiscaleCache(self.net, n)
