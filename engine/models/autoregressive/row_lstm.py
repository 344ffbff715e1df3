r"""Row LSTM: a recurrent network reads the picture row by row, all pixels of a row at once.

The state of a row comes from the row above by a convolution of width 3, so a pixel sees a triangle
above itself, and a little to its left.

.. math::
    [o, f, i, g] = \sigma(K^{ss} * h_{r-1} + K^{is} * x_r), \quad
    c_r = f \odot c_{r-1} + i \odot g, \quad h_r = o \odot \tanh c_r

References:
    van den Oord, Kalchbrenner and Kavukcuoglu, *Pixel Recurrent Neural Networks*, ICML 2016,
    section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from engine.nets.outputs import OUTPUTS
from engine.nets.pixel_model import PixelModel
from engine.nets.recurrent_cache import RecurrentCache
from engine.nets.recurrent_pixels import RecurrentPixels
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


@dataclass(frozen=True)
class RowLSTMConfig:
    """Settings of :class:`RowLSTM`."""

    n_layers: Annotated[
        int, Field(1, 12, step=1, symbol="L", help="Recurrent layers after the first one.")
    ] = 2
    n_channels: Annotated[
        int, Field(4, 128, step=8, symbol="C", help="Size of a state; 2C maps go past a layer.")
    ] = 32
    first_kernel: Annotated[
        int, Field(3, 15, step=2, help="Kernel of the first layer (mask A); odd.")
    ] = 7
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


class RowLSTM(PixelModel):
    """A PixelRNN whose states run down the rows."""

    Config = RowLSTMConfig
    card = ModelCard(
        name="row_lstm",
        title="Row LSTM",
        family="autoregressive",
        summary=(
            "An LSTM runs down the picture, a whole row at a time; its state comes from the row "
            "above by a convolution. A pixel sees the triangle above itself, not all of the rows."
        ),
        equation=(
            r"[o,f,i,g]=\sigma(K^{ss}*h_{r-1}+K^{is}*x_r),\quad "
            r"c_r=f\odot c_{r-1}+i\odot g,\quad h_r=o\odot\tanh c_r"
        ),
        paper=Paper(
            authors="A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu",
            year=2016,
            title="Pixel Recurrent Neural Networks",
            where="ICML",
        ),
    )

    def __init__(self, event_shape: tuple[int, ...], config: RowLSTMConfig) -> None:
        super().__init__(event_shape, config)
        self.net = RecurrentPixels(
            "row",
            self.picture[0],
            config.n_channels,
            n_layers=config.n_layers,
            first_kernel=config.first_kernel,
            n_params=self.family.n_params,
        )
        self.start_head(self.net.last)

    def params(self, u: Tensor, labels: Tensor | None) -> Tensor:
        """Inputs (B, C, H, W) → parameters of all conditionals, (B, C·P, H, W)."""
        y: Tensor = self.net(u)
        return y

    def cache(self, n: int, labels: Tensor | None) -> RecurrentCache:
        """An empty cache for n pictures."""
        return RecurrentCache(self.net, self.picture, n)
