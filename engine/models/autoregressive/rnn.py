r"""A recurrent network over pixels, symbols or numbers: what was read is one vector of fixed size.

After each value the state is renewed, and the next value is predicted from the state alone. Its
memory does not grow, so sampling costs the same at every place.

.. math::
    h_t = f(h_{t-1}, x_{t-1}), \qquad p(x) = \prod_{t=1}^{D} p(x_t \mid h_t)

References:
    Hochreiter and Schmidhuber, *Long Short-Term Memory*, Neural Computation 1997; gated recurrent
    units: Cho et al., EMNLP 2014; as a generative model: Graves, *Generating Sequences With
    Recurrent Neural Networks*, 2013.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from engine.drawing import uniform_noise
from engine.nets.outputs import icdf
from engine.nets.scheduled import HalfLifeSetting, ScheduleSetting, mix_inputs
from engine.nets.sequence_model import SequenceModel
from engine.nets.settings import (
    ClassesSetting,
    CodesSetting,
    ConditionalSetting,
    CurvesSetting,
    ExamplesSetting,
    OrderSetting,
    OutputSetting,
    RateSetting,
    SymbolsSetting,
)
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

CELLS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


@dataclass(frozen=True)
class RNNConfig:
    """Settings of :class:`RNN`."""

    n_layers: Annotated[
        int, Field(1, 8, step=1, symbol="L", help="Recurrent layers, one above the other.")
    ] = 1
    width: Annotated[
        int, Field(1, 2048, step=16, symbol="W", help="Numbers in each layer's state.")
    ] = 128
    cell: Annotated[
        str, Field(choices=tuple(CELLS), help="How the state is renewed: LSTM or GRU.")
    ] = "lstm"
    codes: CodesSetting = "row_column"
    order: OrderSetting = "raster"
    output: OutputSetting = "categorical"
    n_components: CurvesSetting = 5
    class_conditional: ConditionalSetting = False
    scheduled_sampling: ScheduleSetting = "none"
    half_life: HalfLifeSetting = 2000
    learning_rate: RateSetting = 2e-3
    batch_size: ExamplesSetting = 32
    levels: SymbolsSetting = 2
    n_classes: ClassesSetting = 10


class RNN(SequenceModel):
    """LSTM or GRU over the values in order, behind a start symbol."""

    Config = RNNConfig
    card = ModelCard(
        name="rnn",
        title="RNN",
        family="autoregressive",
        summary=(
            "A recurrent network reads one value after the other and keeps what matters in a "
            "state of fixed size, from which it predicts the next."
        ),
        equation=r"p(x)=\prod_{t=1}^{D}p(x_t\mid h_t),\quad h_t=f(h_{t-1},x_{t-1})",
        paper=Paper(
            authors="S. Hochreiter, J. Schmidhuber",
            year=1997,
            title="Long Short-Term Memory",
            where="Neural Computation",
        ),
    )

    def __init__(self, event_shape: tuple[int, ...], config: RNNConfig) -> None:
        super().__init__(event_shape, config)
        cell = CELLS[config.cell]
        self.net = cell(config.width, config.width, config.n_layers, batch_first=True)

    def features(self, h: Tensor) -> Tensor:
        """Inputs (B, T, W) → states of the last layer (B, T, W)."""
        return self.read(h, None)[0]

    def begin(self, n: int) -> Any:
        """States of zeros."""
        zeros = self.location.new_zeros(self.config.n_layers, n, self.config.width)
        return (zeros, zeros) if self.config.cell == "lstm" else zeros

    def read(self, h: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """Further inputs (N, S, W) → states of the last layer, and the states at the end."""
        if self.training or not torch.is_grad_enabled():
            found, after = self.net(h, memory)
            return found, after
        # cuDNN has a gradient only of a network that is training.
        with torch.backends.cudnn.flags(enabled=False):
            found, after = self.net(h, memory)
        return found, after

    def memory_of_one(self) -> int:
        """States of one sequence."""
        size: int = 2 * self.config.n_layers * self.config.width
        return size

    def mixed_params(
        self,
        u: Tensor,
        start: Tensor,
        forced: Tensor,
        share: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Parameters (B, D, P) where each input is the data's with probability ``share``.

        Exactly, value after value: each draw comes from the conditional of the mixed history
        itself. No gradient goes through the draws.
        """
        noise, codes = uniform_noise(u.shape, generator, u), self.codes().expand(u.shape[1], -1)
        memory, h = self.begin(len(u)), self.symbols(u[:, :0], start)
        found = []
        for place in range(u.shape[1]):
            features, memory = self.read(h + codes[place], memory)
            params = self.head(features[:, 0])
            found.append(params)
            with torch.no_grad():
                drawn = icdf(self.family.distribution(params), noise[:, place])
                value = mix_inputs(u[:, place], drawn, share, generator)
            h = self.symbols.values(value)[:, None]
        return torch.stack(found, 1)
