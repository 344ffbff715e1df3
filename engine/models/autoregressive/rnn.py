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
from engine.nets.orders import ORDER_NAMES
from engine.nets.outputs import OUTPUTS, icdf
from engine.nets.scheduled import HalfLifeSetting, ScheduleSetting, mix_inputs
from engine.nets.sequence_model import SequenceModel
from engine.nets.symbols import CODES
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
    codes: Annotated[
        str, Field(choices=CODES, help="How a place of the order is told to the network.")
    ] = "row_column"
    order: Annotated[
        str, Field(choices=ORDER_NAMES, help="The order in which values are generated.")
    ] = "raster"
    output: Annotated[
        str, Field(choices=OUTPUTS, help="The distribution of each value, given earlier ones.")
    ] = "categorical"
    n_components: Annotated[
        int, Field(1, 20, step=1, symbol="K", help="Curves of a mixture output.")
    ] = 5
    class_conditional: Annotated[
        bool, Field(help="Learn p(x given class): each class has a start symbol of its own.")
    ] = False
    scheduled_sampling: ScheduleSetting = "none"
    half_life: HalfLifeSetting = 2000
    learning_rate: Annotated[
        float, Field(1e-5, 1e-1, scale="log", live=True, help="Step size of Adam.")
    ] = 2e-3
    batch_size: Annotated[
        int, Field(1, 4096, scale="log", live=True, help="Examples per training step.")
    ] = 32
    levels: Annotated[
        int | None,
        Field(2, 65536, derived=True, symbol="V", help="Levels or symbols; none: real values."),
    ] = 2
    n_classes: Annotated[
        int, Field(0, 1000, derived=True, help="Classes that the data's labels name.")
    ] = 10


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
        found: Tensor = self.net(h)[0]
        return found

    def begin(self, n: int) -> Any:
        """States of zeros."""
        zeros = self.location.new_zeros(self.config.n_layers, n, self.config.width)
        return (zeros, zeros) if self.config.cell == "lstm" else zeros

    def read(self, h: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """Further inputs (N, S, W) → states of the last layer, and the states at the end."""
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
