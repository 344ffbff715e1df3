"""The base of machines with several hidden layers: DBM and DBN, which differ in what joins them.

Layers are numbered from the visible one, 0; ``W1`` (V, H₁), ``W2`` (H₁, H₂) … stand between two
neighbours, ``b`` (V,), ``c1`` (H₁,) … are the biases. All units are binary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from engine.capabilities import ChainState
from engine.model import GenerativeModel, TrainState
from engine.nets.boltzmann_steps import copies_mean, descend, descent
from engine.wire.fields import Field

#: Spread of the first weights.
SPREAD = 0.01
#: Rates of pixels in the data stay so far from 0 and 1 when they become biases.
SMALLEST_RATE = 1e-3

HiddenLayersSetting = Annotated[
    tuple[int, ...],
    Field(1, 4096, symbol="H", help="Hidden units of each layer, from below; at least two."),
]
SweepsSetting = Annotated[
    int, Field(1, 1000, scale="log", symbol="k", live=True, help="Chain sweeps per update.")
]
CentredSetting = Annotated[
    bool,
    Field(live=True, help="Take the gradient of units minus their means, which is steadier."),
]
MomentumSetting = Annotated[
    float, Field(0.0, 0.99, step=0.05, live=True, help="Share of the last move kept.")
]
DecaySetting = Annotated[
    float, Field(0.0, 0.1, step=0.0001, live=True, help="Pulls weights towards 0.")
]
StepSizeSetting = Annotated[
    float, Field(1e-5, 1.0, scale="log", symbol=r"\eta", live=True, help="Step size.")
]
EventsSetting = Annotated[
    int, Field(1, 65536, scale="log", symbol="B", live=True, help="Events per step.")
]
TwoLevelsSetting = Annotated[
    int | None, Field(2, 256, derived=True, help="Levels of a value; it takes two.")
]


class LayeredMachine(GenerativeModel):
    """Weights and biases of the layers, their start, their update, and chains' first states.

    Raises:
        ValueError: The values have other than two levels, or there are fewer than two layers.
    """

    def __init__(self, event_shape: tuple[int, ...], config: Any) -> None:
        if config.levels != 2:
            given = "real values" if config.levels is None else f"{config.levels} levels"
            raise ValueError(
                f"{self.card.title}: given data with {given}, wanted binary values (2 levels)"
            )
        if len(config.hidden_units) < 2:
            raise ValueError(
                f"hidden_units: given {len(config.hidden_units)} layers, wanted two or more"
            )
        super().__init__(event_shape, config)
        sizes = (self.event_size, *config.hidden_units)
        self.n_layers = len(config.hidden_units)
        self.b = nn.Parameter(torch.zeros(sizes[0]))
        for i in range(1, len(sizes)):
            weight = SPREAD * torch.randn(sizes[i - 1], sizes[i])
            self.register_parameter(f"W{i}", nn.Parameter(weight))
            self.register_parameter(f"c{i}", nn.Parameter(torch.zeros(sizes[i])))

    @property
    def weights(self) -> list[nn.Parameter]:
        """The matrices W1, W2 and so on."""
        return [self.get_parameter(f"W{i}") for i in range(1, self.n_layers + 1)]

    @property
    def biases(self) -> list[nn.Parameter]:
        """The vectors b, c1, c2 and so on."""
        return [self.b, *(self.get_parameter(f"c{i}") for i in range(1, self.n_layers + 1))]

    @property
    def names(self) -> tuple[str, ...]:
        """What the layers' blocks in a chain's state are called."""
        return ("v", *(f"h{i}" for i in range(1, self.n_layers + 1)))

    @torch.no_grad()
    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Give visible units the biases at which independent ones fit best; nothing is scaled."""
        rates = data.reshape(len(data), -1).mean(0, dtype=torch.float32)
        self.b.copy_(torch.logit(rates.clamp(SMALLEST_RATE, 1.0 - SMALLEST_RATE)))

    def optimisers(self, learning_rate: float) -> dict[str, torch.optim.Optimizer]:
        """Gradient descent with momentum."""
        rate, momentum = learning_rate, self.config.momentum
        return {"model": descent(self.weights, self.biases, rate, momentum)}

    def init(self, n: int, generator: torch.Generator) -> ChainState:
        """N chains, ``{"v": (N, *E), "h1": (N, H₁), …}``, drawn as if there were no weights."""
        rates = [torch.sigmoid(bias.detach()).expand(n, -1) for bias in self.biases]
        return self._state([copies_mean(rate, 1, generator) for rate in rates])

    def _state(self, layers: Sequence[Tensor]) -> ChainState:
        shaped = [layers[0].reshape(-1, *self.event_shape), *layers[1:]]
        return dict(zip(self.names, shaped, strict=True))

    def _descend(self, pairs: list[tuple[nn.Parameter, Tensor]], state: TrainState) -> None:
        optimiser, config = state.optimisers["model"], self.config
        descend(optimiser, pairs, momentum=config.momentum, weight_decay=config.weight_decay)
