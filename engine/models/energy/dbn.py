r"""The deep belief network: a restricted Boltzmann machine on top, and a directed way down.

Only the top two layers are joined both ways. A draw is a long chain there, and then one pass down
to the data; inference goes up in one pass, by weights of its own.

.. math::
    p(v, h) = p(h_{L-1}, h_L) \prod_{l<L} p(h_{l-1} \mid h_l), \qquad
    p(h_{l-1} \mid h_l) = \sigma(c_{l-1} + W_l h_l), \qquad h_0 = v

.. math:: \log p(v) \ge \mathbb E_q \Bigl[ \sum_{l<L} \log
    \frac{p(h_{l-1} \mid h_l)}{q(h_l \mid h_{l-1})} - F(h_{L-1}) \Bigr] - \log Z

Layers are learnt one by one: each is a restricted machine that models what the layers below make
of the data, and the model is then as deep as it has been trained. A layer that starts as the one
below turned over leaves p as it was, so that with every layer the bound can only be raised. The
up–down algorithm trains all of them together afterwards.

References:
    Hinton, Osindero and Teh, *A Fast Learning Algorithm for Deep Belief Nets*, Neural Computation
    2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.capabilities import ChainState
from engine.mcmc import gibbs
from engine.model import TrainState
from engine.nets.boltzmann import Boltzmann, layer_given
from engine.nets.boltzmann_steps import (
    LayerPair,
    copies_mean,
    descent,
    forget_means,
    gradients,
    running_means,
)
from engine.nets.layered_machine import (
    CentredSetting,
    DecaySetting,
    EventsSetting,
    HiddenLayersSetting,
    LayeredMachine,
    MomentumSetting,
    StepSizeSetting,
    SweepsSetting,
    TwoLevelsSetting,
)
from engine.wire.capability import Capability
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: In a run's memory: the chains of the layers trained last, as their upper units.
CHAINS = "chains"
#: Draws of q for a bound.
N_DRAWS = 10


@dataclass(frozen=True)
class DBNConfig:
    """Settings of :class:`DBN`."""

    hidden_units: HiddenLayersSetting = (64, 64)
    layer_steps: Annotated[
        int,
        Field(1, 1_000_000, scale="log", help="Steps in which each layer is trained alone."),
    ] = 1000
    tied_start: Annotated[
        bool,
        Field(help="A layer of fitting size starts as the one below it, turned over."),
    ] = True
    fine_tune: Annotated[
        bool,
        Field(
            live=True,
            help="Then train all layers by the up–down algorithm; off: the top layer goes on.",
        ),
    ] = True
    tuning_rate: Annotated[
        float,
        Field(0.001, 1.0, scale="log", live=True, help="Share of the step size of up–down."),
    ] = 0.1
    algorithm: Annotated[
        str,
        Field(
            choices=("cd", "pcd"),
            live=True,
            help="Where chains start: cd: at the data; pcd: where the last update left them.",
        ),
    ] = "cd"
    gibbs_steps: SweepsSetting = 1
    centred: CentredSetting = True
    momentum: MomentumSetting = 0.5
    weight_decay: DecaySetting = 1e-4
    learning_rate: StepSizeSetting = 0.05
    batch_size: EventsSetting = 100
    levels: TwoLevelsSetting = 2


class DBN(LayeredMachine):
    """Deep belief network with ``W1`` (V, H₁), ``W2`` (H₁, H₂) …, ``b`` (V,), ``c1`` (H₁,) ….

    ``R1`` …, ``r1`` … are weights and biases of the pass up, below the top two layers. The buffer
    ``depth`` counts the layers trained so far; those above it are not yet part of the model.

    Raises:
        ValueError: The values have other than two levels, or there are fewer than two layers.
    """

    Config = DBNConfig
    card = ModelCard(
        name="dbn",
        title="Deep belief network",
        family="energy",
        summary=(
            "A restricted Boltzmann machine dreams up features, and a pass down turns them into "
            "data. Each layer learns to model what the one below has made of the data."
        ),
        equation=r"p(v,h)=p(h_{L-1},h_L)\prod_{l<L}p(h_{l-1}\mid h_l)",
        paper=Paper(
            authors="Geoffrey Hinton, Simon Osindero, Yee-Whye Teh",
            year=2006,
            title="A Fast Learning Algorithm for Deep Belief Nets",
            where="Neural Computation",
        ),
        lacks={
            Capability.SAMPLING: (
                "The pass down is ancestral, but what it starts from is drawn by a Markov chain "
                "in the top two layers, and no number of its steps makes a draw exact."
            ),
            Capability.LOG_PROB: (
                "Neither the sum over the hidden layers nor log Z of the top two has a closed "
                "form: the first is bounded, the second estimated by annealed importance sampling."
            ),
            Capability.BOUND: (
                "The pass up bounds log p(x) + log Z; what bounds log p(x) needs log Z of the top "
                "two layers, which is an estimate with an interval."
            ),
            Capability.ENERGY: (
                "Only the top two layers have an energy; below them the model is directed."
            ),
        },
        features=("directed",),
        supports=("binary",),
    )

    depth: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: DBNConfig) -> None:
        super().__init__(event_shape, config)
        for i in range(1, self.n_layers):
            self.register_parameter(f"R{i}", nn.Parameter(self.weights[i - 1].detach().clone()))
            self.register_parameter(f"r{i}", nn.Parameter(torch.zeros(config.hidden_units[i - 1])))
        self.register_buffer("depth", torch.tensor(1))

    @property
    def upward(self) -> list[tuple[nn.Parameter, nn.Parameter]]:
        """Weights and biases of the pass up, (R1, r1), (R2, r2) and so on."""
        numbers = range(1, self.n_layers)
        return [(self.get_parameter(f"R{i}"), self.get_parameter(f"r{i}")) for i in numbers]

    @property
    def top(self) -> int:
        """How many layers are part of the model: the index of its top one."""
        return int(self.depth)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of each layer, from the visible ones up."""
        return tuple(len(bias) for bias in self.biases)

    @property
    def machine(self) -> Boltzmann:
        """The restricted machine of the top two layers."""
        top = self.top
        return Boltzmann(
            (self.biases[top - 1], self.biases[top]),
            (self.weights[top - 1],),
        )

    def machine_data(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """Events (B, *E) drawn up to the lower layer of the machine on top, (B, H)."""
        return self.drawn_up(self._flat(x), generator, to=self.top - 1)[-1]

    # --- up and down --------------------------------------------------------------------------

    def up(self, below: Tensor, layer: int) -> Tensor:
        """Logits (N, H_l) of q(h_l given h_{l−1}), for a layer below the top."""
        weight, bias = self.upward[layer - 1]
        return torch.addmm(bias, below, weight)

    def down(self, above: Tensor, layer: int) -> Tensor:
        """Logits (N, H_l) of p(h_l given h_{l+1}), for a layer below the top two; 0 is v."""
        return torch.addmm(self.biases[layer], above, self.weights[layer].t())

    def drawn_up(self, v: Tensor, generator: torch.Generator, *, to: int) -> list[Tensor]:
        """v (N, V) and draws of q for the layers up to one, (N, H_l) each."""
        layers = [v]
        for layer in range(1, to + 1):
            layers.append(_draw(torch.sigmoid(self.up(layers[-1], layer)), generator))
        return layers

    @torch.no_grad()
    def unnormalised_bound(
        self, x: Tensor, *, generator: torch.Generator, n_draws: int = N_DRAWS
    ) -> Tensor:
        """A lower bound, in expectation, of log p(x) + log Z for (B, *E), (B,), nats.

        The mean over ``n_draws`` draws of the pass up; exact while the model is one layer deep.
        """
        return self.log_weights(x, n_draws=n_draws, generator=generator).mean(0)

    @torch.no_grad()
    def log_weights(self, x: Tensor, *, n_draws: int, generator: torch.Generator) -> Tensor:
        """log p(x, h) + log Z − log q(h given x) of draws h of the pass up, (K, B), nats.

        The top layer is summed out. The mean of exp of it is p(x) Z.
        """
        v = self._flat(x)
        if self.top == 1:
            n_draws = 1
        many = v.repeat(n_draws, 1)
        layers = self.drawn_up(many, generator, to=self.top - 1)
        total = -self.machine.free_energy([layers[-1], None])
        for layer in range(1, self.top):
            below, here = layers[layer - 1], layers[layer]
            total = total + _log_prob(self.down(here, layer - 1), below)
            total = total - _log_prob(self.up(below, layer), here)
        return total.reshape(n_draws, -1)

    # --- training -----------------------------------------------------------------------------

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Free energies of the top machine at data (B, *E) drawn up, and k sweeps from there."""
        with torch.no_grad():
            below = self.drawn_up(self._flat(x), generator, to=self.top - 1)[-1]
            _, model = self._pair(self.top).contrast(below, self.config.gibbs_steps, generator)
        return self._losses(below, model[0])

    def _losses(self, data: Tensor, model: Tensor) -> dict[str, Tensor]:
        machine = self.machine
        positive = machine.free_energy([data, None]).mean()
        negative = machine.free_energy([model, None]).mean()
        return {
            "total": positive - negative,
            "positive": positive,
            "negative": negative,
            "layer": self.depth.to(positive),
        }

    def optimisers(self, learning_rate: float) -> dict[str, torch.optim.Optimizer]:
        """Gradient descent with momentum."""
        matrices = [*self.weights, *(weight for weight, _ in self.upward)]
        vectors = [*self.biases, *(bias for _, bias in self.upward)]
        return {"model": descent(matrices, vectors, learning_rate, self.config.momentum)}

    @torch.no_grad()
    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One update of the layer that is due, or of all by up–down.

        Returns free energies of the top machine at data and chains, nats, their difference as
        ``total``, and ``layer``, how deep the model is.
        """
        each, step = self.config.layer_steps, state.step
        if step % each == 0 and 0 < step < each * self.n_layers:
            self._add_layer(step // each, state)
        layers = self.drawn_up(self._flat(batch), generator, to=self.top - 1)
        data, model = self._contrast(layers[-1], state, generator)
        losses = self._losses(data[0], model[0])
        pairs = self._top_step(data, model, state)
        if step >= each * self.n_layers and self.config.fine_tune:
            pairs += self._up_down(layers, model[0], generator)
            pairs = [(p, self.config.tuning_rate * gradient) for p, gradient in pairs]
        self._descend(pairs, state)
        return losses

    def _pair(self, layer: int) -> LayerPair:
        return LayerPair(self.weights[layer - 1], self.biases[layer - 1], self.biases[layer])

    def _contrast(
        self, below: Tensor, state: TrainState, generator: torch.Generator
    ) -> tuple[list[Tensor], list[Tensor]]:
        persistent = self.config.algorithm == "pcd"
        chains = state.memory.get(CHAINS) if persistent else None
        pair = self._pair(self.top)
        data, model = pair.contrast(below, self.config.gibbs_steps, generator, chains)
        if persistent:
            state.memory[CHAINS] = _draw(model[1], generator)
        return data, model

    def _top_step(
        self, data: list[Tensor], model: list[Tensor], state: TrainState
    ) -> list[tuple[nn.Parameter, Tensor]]:
        found, top = gradients(data, model), self.top
        if self.config.centred:
            found.centre(running_means(state.memory, data))
        return [
            (self.weights[top - 1], found.weights[0]),
            (self.biases[top - 1], found.biases[0]),
            (self.biases[top], found.biases[1]),
        ]

    def _up_down(
        self, wake: Sequence[Tensor], dream: Tensor, generator: torch.Generator
    ) -> list[tuple[nn.Parameter, Tensor]]:
        """Gradients of the way down, by layers drawn up from data, and of the way up, by a dream.

        ``dream`` (N, H) are units below the top of the chains, where the pass down starts.
        """
        pairs: list[tuple[nn.Parameter, Tensor]] = []
        for layer in range(1, self.top):
            below, here = wake[layer - 1], wake[layer]
            error = (torch.sigmoid(self.down(here, layer - 1)) - below) / len(here)
            pairs.append((self.weights[layer - 1], error.t() @ here))
            pairs.append((self.biases[layer - 1], error.sum(0)))
        for layer in range(self.top - 1, 0, -1):
            below = _draw(torch.sigmoid(self.down(dream, layer - 1)), generator)
            error = (torch.sigmoid(self.up(below, layer)) - dream) / len(dream)
            weight, bias = self.upward[layer - 1]
            pairs += [(weight, below.t() @ error), (bias, error.sum(0))]
            dream = below
        return pairs

    def _add_layer(self, trained: int, state: TrainState) -> None:
        """Make the model one layer deeper: what has been trained is from now on the way up too."""
        weight, bias = self.upward[trained - 1]
        weight.copy_(self.weights[trained - 1])
        bias.copy_(self.biases[trained])
        self.depth.fill_(trained + 1)
        below, above = self.biases[trained - 1], self.biases[trained + 1]
        if self.config.tied_start and len(below) == len(above):
            self.weights[trained].copy_(self.weights[trained - 1].t())
            above.copy_(below)
        forget_means(state.memory)
        state.memory.pop(CHAINS, None)

    # --- chains -------------------------------------------------------------------------------

    @property
    def kernels(self) -> tuple[str, ...]:
        """``"top"`` draws the top layer, then the one below; ``"down"`` all others; or both."""
        return ("gibbs", "top", "down")

    @torch.no_grad()
    def step(
        self, state: ChainState, kernel: str, generator: torch.Generator
    ) -> tuple[ChainState, dict[str, Tensor]]:
        """One step of ``{"v": (N, *E), "h1": (N, H₁), …}``; ``"gibbs"`` alone leaves p invariant.

        Returns:
            The new state; ``energy`` (N,) of the top two layers, up to log Z; and ``mean_v``,
            ``mean_h1`` …, the probabilities from which the layers were drawn. Layers that are not
            yet part of the model stay.

        Raises:
            ValueError: The kernel is unknown.
        """
        if kernel not in self.kernels:
            raise ValueError(f"kernel: given '{kernel}', wanted one of {', '.join(self.kernels)}")
        top, names = self.top, self.names
        conditionals: dict[str, gibbs.Conditional] = {}
        if kernel != "down":
            pair = (names[top - 1], names[top])
            conditionals |= {names[top]: layer_given(self.machine, pair, 1)}
            conditionals |= {names[top - 1]: layer_given(self.machine, pair, 0)}
        if kernel != "top":
            conditionals |= {names[i]: self._given_above(i) for i in range(top - 2, -1, -1)}
        blocks = {**state, "v": state["v"].flatten(1)}
        after, info = gibbs.step(blocks, conditionals, generator=generator)
        info["energy"] = self.machine.energy([after[names[top - 1]], after[names[top]]])
        if "mean_v" in info:
            info["mean_v"] = info["mean_v"].reshape(state["v"].shape)
        return self._state([after[name] for name in names]), info

    def _given_above(self, layer: int) -> gibbs.Conditional:
        def draw(state: ChainState, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            means = torch.sigmoid(self.down(state[f"h{layer + 1}"], layer))
            return _draw(means, generator), means

        return draw


def _draw(means: Tensor, generator: torch.Generator) -> Tensor:
    return copies_mean(means, 1, generator)


def _log_prob(logits: Tensor, units: Tensor) -> Tensor:
    """log-probability of binary units (N, n) under their logits, summed, (N,), nats."""
    return (units * logits - F.softplus(logits)).sum(-1)
