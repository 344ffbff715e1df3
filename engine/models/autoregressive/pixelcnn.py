r"""PixelCNN: a plain stack of masked convolutions gives every pixel's distribution in one pass.

Mask A in the first layer hides the pixel itself, mask B in the others lets it through; within a
pixel colours come in the order R, G, B. The stack has a blind spot to the upper right.

With mask B in the first layer too every value is read off itself: the loss falls to almost nothing
and means nothing. This mistake can be chosen, to be seen; the model then has no likelihood and
cannot be sampled.

.. math::
    p(x) = \prod_{i=1}^{n^2} p(x_{i,R} \mid x_{<i})\, p(x_{i,G} \mid x_{<i}, x_{i,R})\,
    p(x_{i,B} \mid x_{<i}, x_{i,R}, x_{i,G})

References:
    van den Oord, Kalchbrenner and Kavukcuoglu, *Pixel Recurrent Neural Networks*, ICML 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from engine.model import GenerativeModel
from engine.nets.leaking import leaking
from engine.nets.masked_conv import MASKS
from engine.nets.pixel_model import PixelModel
from engine.nets.residual_cache import ResidualCache
from engine.nets.residual_pixels import ResidualPixels
from engine.nets.settings import (
    CurvesSetting,
    FirstKernelSetting,
    LevelsSetting,
    OutputSetting,
    PicturesSetting,
    RateSetting,
)
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


@dataclass(frozen=True)
class PixelCNNConfig:
    """Settings of :class:`PixelCNN`."""

    n_layers: Annotated[
        int, Field(1, 30, step=1, symbol="L", help="Residual blocks after the first layer.")
    ] = 6
    n_channels: Annotated[
        int,
        Field(4, 256, step=8, symbol="C", help="Maps inside a block; twice as many go past it."),
    ] = 32
    kernel_size: Annotated[
        int, Field(1, 9, step=2, symbol="k", help="Kernel of every block (mask B); odd.")
    ] = 3
    first_kernel: FirstKernelSetting = 7
    first_mask: Annotated[
        str,
        Field(
            choices=MASKS,
            help=(
                "Mask of the first layer. A hides the value itself; B there is the classical "
                "mistake: each value is read off itself, the loss falls to almost nothing, and "
                "nothing can be drawn."
            ),
        ),
    ] = "A"
    output: OutputSetting = "categorical"
    n_components: CurvesSetting = 5
    learning_rate: RateSetting = 2e-3
    batch_size: PicturesSetting = 64
    levels: LevelsSetting = 2


class PixelCNN(PixelModel):
    """Masked convolutions with residual blocks, and their blind spot."""

    Config = PixelCNNConfig
    card = ModelCard(
        name="pixelcnn",
        title="PixelCNN",
        family="autoregressive",
        summary=(
            "Convolutions whose kernels are masked see only earlier pixels, so one pass gives "
            "every pixel's distribution. Deep as the stack may be, it never sees a wedge to the "
            "upper right."
        ),
        equation=(
            r"p(x)=\prod_{i=1}^{n^2}p(x_{i,R}\mid x_{<i})\,p(x_{i,G}\mid x_{<i},x_{i,R})\,"
            r"p(x_{i,B}\mid x_{<i},x_{i,R},x_{i,G})"
        ),
        paper=Paper(
            authors="A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu",
            year=2016,
            title="Pixel Recurrent Neural Networks",
            where="ICML",
        ),
    )

    def __init__(self, event_shape: tuple[int, ...], config: PixelCNNConfig) -> None:
        super().__init__(event_shape, config)
        self.net = ResidualPixels(
            self.picture[0],
            config.n_channels,
            config.n_layers,
            (config.first_kernel, config.kernel_size),
            self.family.n_params,
            config.first_mask,
        )
        self.start_head(self.net.last)

    @classmethod
    def kind_for(cls, config: PixelCNNConfig) -> type[GenerativeModel]:
        """With the wrong mask the class whose numbers are no likelihoods."""
        return cls if config.first_mask == "A" else leaking(cls)

    def cache(self, n: int, labels: Tensor | None) -> ResidualCache:
        """An empty cache for n pictures."""
        return ResidualCache(self.net, self.picture, n)
