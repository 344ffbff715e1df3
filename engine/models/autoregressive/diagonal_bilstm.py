r"""Diagonal BiLSTM: two recurrent networks cross the picture by diagonals and see all before.

A state joins its left and its upper neighbour; a mirrored one, moved down by a row, joins the
right and the upper one. Rows are skewed by a pixel each, so that a diagonal is a column.

.. math::
    [o, f, i, g] = \sigma(K^{ss} * h_{d-1} + K^{is} * x_d), \quad
    c_d = f \odot c_{d-1} + i \odot g, \quad h_d = o \odot \tanh c_d

References:
    van den Oord, Kalchbrenner and Kavukcuoglu, *Pixel Recurrent Neural Networks*, ICML 2016,
    section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.nets.recurrent_model import PixelRNN, PixelRNNConfig
from engine.nets.settings import RecurrentLayersSetting, StateSetting
from engine.wire.cards import ModelCard, Paper


@dataclass(frozen=True)
class DiagonalBiLSTMConfig(PixelRNNConfig):
    """Settings of :class:`DiagonalBiLSTM`; one layer sees all that is earlier."""

    n_layers: RecurrentLayersSetting = 1
    n_channels: StateSetting = 16


class DiagonalBiLSTM(PixelRNN):
    """A PixelRNN whose states cross the picture from both upper corners."""

    kind = "diagonal"
    Config = DiagonalBiLSTMConfig
    card = ModelCard(
        name="diagonal_bilstm",
        title="Diagonal BiLSTM",
        family="autoregressive",
        summary=(
            "Two LSTMs cross the picture by diagonals, one from each upper corner; the second is "
            "moved down by a row. Together they see every earlier pixel, with one layer."
        ),
        equation=(
            r"[o,f,i,g]=\sigma(K^{ss}*h_{d-1}+K^{is}*x_d),\quad "
            r"c_d=f\odot c_{d-1}+i\odot g,\quad h_d=o\odot\tanh c_d"
        ),
        paper=Paper(
            authors="A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu",
            year=2016,
            title="Pixel Recurrent Neural Networks",
            where="ICML",
        ),
    )
