r"""Gated PixelCNN: two stacks of gated convolutions that together see every earlier pixel.

A vertical stack reads the rows above, a horizontal one what lies to the left; a class label moves
all gates. All conditionals are found in one pass, samples one pixel after the other.

.. math::
    p(x \mid h) = \prod_{i=1}^{D} p(x_i \mid x_{<i}, h), \qquad
    y = \tanh(W_f * x + V_f^\top h) \odot \sigma(W_g * x + V_g^\top h)

References:
    van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves and Kavukcuoglu, *Conditional Image
    Generation with PixelCNN Decoders*, NeurIPS 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from engine.nets.gated_cache import GatedCache
from engine.nets.gated_pixels import GatedStacks
from engine.nets.pixel_model import PixelModel
from engine.nets.settings import (
    ClassesSetting,
    ConditionalSetting,
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
class GatedPixelCNNConfig:
    """Settings of :class:`GatedPixelCNN`."""

    n_layers: Annotated[
        int, Field(1, 30, step=1, symbol="L", help="Gated layers of each stack.")
    ] = 6
    n_channels: Annotated[
        int, Field(4, 256, step=8, symbol="C", help="Feature maps of each stack.")
    ] = 32
    kernel_size: Annotated[
        int, Field(1, 9, step=2, symbol="k", help="Kernel of every layer but the first; odd.")
    ] = 3
    first_kernel: FirstKernelSetting = 7
    output: OutputSetting = "categorical"
    n_components: CurvesSetting = 5
    class_conditional: ConditionalSetting = False
    learning_rate: RateSetting = 2e-3
    batch_size: PicturesSetting = 64
    levels: LevelsSetting = 2
    n_classes: ClassesSetting = 10


class GatedPixelCNN(PixelModel):
    """A convolutional autoregressive model of pictures without a blind spot."""

    Config = GatedPixelCNNConfig
    card = ModelCard(
        name="gated_pixelcnn",
        title="Gated PixelCNN",
        family="autoregressive",
        summary=(
            "A stack of convolutions for the rows above and one for the pixels to the left, "
            "gated as in an LSTM, give each pixel's distribution from all earlier ones. "
            "A class label can move the gates."
        ),
        equation=(
            r"p(x\mid h)=\prod_{i=1}^{D}p(x_i\mid x_{<i},h),\quad "
            r"y=\tanh(W_f*x+V_f^{\top}h)\odot\sigma(W_g*x+V_g^{\top}h)"
        ),
        paper=Paper(
            authors=(
                "A. van den Oord, N. Kalchbrenner, O. Vinyals, L. Espeholt, A. Graves, "
                "K. Kavukcuoglu"
            ),
            year=2016,
            title="Conditional Image Generation with PixelCNN Decoders",
            where="NeurIPS",
        ),
    )

    def __init__(self, event_shape: tuple[int, ...], config: GatedPixelCNNConfig) -> None:
        super().__init__(event_shape, config)
        self.net = GatedStacks(
            self.picture[0],
            config.n_channels,
            config.n_layers,
            (config.first_kernel, config.kernel_size),
            n_params=self.family.n_params,
            n_classes=config.n_classes if config.class_conditional else 0,
        )
        self.start_head(self.net.last)

    def params(self, u: Tensor, labels: Tensor | None) -> Tensor:
        """Inputs (B, C, H, W) → parameters of all conditionals, (B, C·P, H, W)."""
        y: Tensor = self.net(u, labels)
        return y

    def cache(self, n: int, labels: Tensor | None) -> GatedCache:
        """An empty cache for n pictures."""
        return GatedCache(self.net, self.picture, n, labels)
