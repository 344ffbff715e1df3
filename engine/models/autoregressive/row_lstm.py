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

from engine.nets.recurrent_model import PixelRNN, PixelRNNConfig
from engine.wire.cards import ModelCard, Paper


@dataclass(frozen=True)
class RowLSTMConfig(PixelRNNConfig):
    """Settings of :class:`RowLSTM`."""


class RowLSTM(PixelRNN):
    """A PixelRNN whose states run down the rows."""

    kind = "row"
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
