r"""The deep Boltzmann machine: layers of hidden units, every two neighbours joined both ways.

Given its neighbours a layer is independent of the rest, but no sum over all hidden layers has a
closed form: the posterior is approximated by mean-field, in which every layer listens to the layer
below and to the one above, until they agree.

.. math::
    E(v, h) = -b^\top v - \sum_l c_l^\top h_l - v^\top W_1 h_1 - \sum_{l>1} h_{l-1}^\top W_l h_l,
    \qquad \mu_l = \sigma(c_l + W_l^\top \mu_{l-1} + W_{l+1} \mu_{l+1})

.. math:: \log p(v) \ge -E(v, \mu) + \sum_{l,j} H(\mu_{lj}) - \log Z

Training takes the data's averages from mean-field and the model's from persistent chains. Before,
each layer is trained as a restricted machine whose missing neighbour is replaced by a copy: its
input counts twice, so that half of it is what it does in the deep machine.

References:
    Salakhutdinov and Hinton, *Deep Boltzmann Machines*, AISTATS 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from engine.capabilities import ChainState
from engine.mcmc import gibbs
from engine.model import TrainState
from engine.nets.boltzmann import Boltzmann, layer_given
from engine.nets.boltzmann_steps import (
    LayerPair,
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

#: In a run's memory, while a layer is trained alone: the bias of the layer below it.
LOWER = "lower_bias"


@dataclass(frozen=True)
class DBMConfig:
    """Settings of :class:`DBM`."""

    hidden_units: HiddenLayersSetting = (64, 64)
    pretrain_steps: Annotated[
        int,
        Field(
            0,
            1_000_000,
            scale="log",
            help="Steps in which each layer is trained alone first, with doubled input; 0: none.",
        ),
    ] = 500
    mean_field_steps: Annotated[
        int, Field(1, 1000, scale="log", live=True, help="Mean-field sweeps per update.")
    ] = 10
    gibbs_steps: SweepsSetting = 1
    n_chains: Annotated[
        int, Field(1, 10_000, scale="log", symbol="N", help="Persistent chains.")
    ] = 100
    centred: CentredSetting = True
    momentum: MomentumSetting = 0.5
    weight_decay: DecaySetting = 1e-4
    learning_rate: StepSizeSetting = 0.02
    batch_size: EventsSetting = 100
    levels: TwoLevelsSetting = 2


class DBM(LayeredMachine):
    """Deep Boltzmann machine with ``W1`` (V, H₁), ``W2`` (H₁, H₂) …, ``b`` (V,), ``c1`` (H₁,) ….

    Raises:
        ValueError: The values have other than two levels, or there are fewer than two layers.
    """

    Config = DBMConfig
    card = ModelCard(
        name="dbm",
        title="Deep Boltzmann machine",
        family="energy",
        summary=(
            "Layers of hidden units, each joined to the ones below and above it. What a unit "
            "believes depends on both at once, so that beliefs settle before they are learnt from."
        ),
        equation=(
            r"E(v,h)=-b^\top v-\sum_l c_l^\top h_l-v^\top W_1h_1-\sum_{l>1}h_{l-1}^\top W_lh_l"
        ),
        paper=Paper(
            authors="Ruslan Salakhutdinov, Geoffrey Hinton",
            year=2009,
            title="Deep Boltzmann Machines",
            where="AISTATS",
        ),
        lacks={
            Capability.SAMPLING: (
                "All layers hang on each other both ways, so draws come from a Markov chain over "
                "the even and the odd layers, and no number of its steps makes one exact."
            ),
            Capability.LOG_PROB: (
                "Neither the sum over the hidden layers nor log Z has a closed form: the first is "
                "bounded by mean-field, the second estimated by annealed importance sampling."
            ),
            Capability.BOUND: (
                "Mean-field bounds log p(x) + log Z; what bounds log p(x) needs log Z, which is "
                "an estimate with an interval."
            ),
            Capability.ENERGY: (
                "E(v, h) belongs to all layers together; the free energy of v alone would sum "
                "over every state of the hidden ones."
            ),
        },
        features=("mean_field",),
        supports=("binary",),
    )

    @property
    def machine(self) -> Boltzmann:
        """The machine over (v, h1, h2 …) as plain tensors."""
        return Boltzmann(tuple(self.biases), tuple(self.weights))

    def machine_data(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """Events (B, *E) as the machine's visible units (B, V)."""
        return self._flat(x)

    # --- mean-field ---------------------------------------------------------------------------

    def mean_field(self, v: Tensor, n_steps: int | None = None) -> list[Tensor]:
        """Means μ_l (B, H_l) of the hidden layers given v (B, V), after so many sweeps.

        It starts from one pass upwards, in which a layer that has another above it counts its
        input twice; a sweep brings the even layers up to date, then the odd ones.
        """
        layers = self._upwards(v)[1:]
        first = torch.addmm(self.biases[1], v, self.weights[0])
        hidden = Boltzmann((first, *self.biases[2:]), tuple(self.weights[1:]))
        for _ in range(self.config.mean_field_steps if n_steps is None else n_steps):
            for start in (1, 0):
                for index in range(start, self.n_layers, 2):
                    layers[index] = hidden.means(index, hidden.inputs(layers, index))
        return layers

    def _upwards(self, v: Tensor) -> list[Tensor]:
        layers = [v]
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases[1:], strict=True)):
            doubling = 2.0 if index + 1 < self.n_layers else 1.0
            layers.append(torch.sigmoid(torch.addmm(bias, layers[-1], weight, alpha=doubling)))
        return layers

    @torch.no_grad()
    def unnormalised_bound(
        self, x: Tensor, *, generator: torch.Generator | None = None, n_steps: int | None = None
    ) -> Tensor:
        r"""Mean-field's lower bound of log p(x) + log Z for (B, *E), (B,), nats; without chance.

        .. math:: -E(v, \mu) + \sum_{l,j} H(\mu_{lj})
        """
        v = self._flat(x)
        means = self.mean_field(v, n_steps)
        entropy = sum((_entropy(mean) for mean in means), torch.zeros_like(v[:, 0]))
        return entropy - self.machine.energy([v, *means])

    # --- training -----------------------------------------------------------------------------

    def phase(self, step: int) -> int:
        """Which layer, from 1, is trained alone at a step; 0 when all are trained together."""
        each = self.config.pretrain_steps
        return step // each + 1 if step < each * self.n_layers else 0

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Energies of mean-field at data (B, *E) and of as many chains a few sweeps from there."""
        v = self._flat(x)
        means = [mean.detach() for mean in self.mean_field(v)]
        with torch.no_grad():
            drawn = [self.machine.draw(i + 1, m, generator) for i, m in enumerate(means)]
            chains = self._walk([v, *drawn], generator)
        return _losses(self.machine, [v, *means], chains, 0)

    @torch.no_grad()
    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One update of one layer alone, or of all; ``memory["chain_l"]`` are the chains (N, H_l).

        ``total`` is the energy at the data minus that at the chains, nats; ``layer`` is the layer
        trained alone, 0 for all.
        """
        v = self._flat(batch)
        phase = self.phase(state.step)
        if phase:
            return self._train_layer(v, phase, state, generator)
        self._settle(0, state)
        data = [v, *self.mean_field(v)]
        chains = self._walk(self._chains(state, generator), generator)
        state.memory |= {f"chain_{index}": part for index, part in enumerate(chains)}
        self._update(data, self._softened(chains), state)
        return _losses(self.machine, data, chains, 0)

    def _update(self, data: list[Tensor], model: list[Tensor], state: TrainState) -> None:
        found = gradients(data, model)
        if self.config.centred:
            found.centre(running_means(state.memory, data))
        pairs = [*zip(self.weights, found.weights, strict=True)]
        pairs += [*zip(self.biases, found.biases, strict=True)]
        self._descend(pairs, state)

    def _chains(self, state: TrainState, generator: torch.Generator) -> list[Tensor]:
        """The persistent chains; fresh ones start where a chain without weights would be."""
        if "chain_0" not in state.memory:
            return list(self.init(self.config.n_chains, generator).values())
        return [state.memory[f"chain_{index}"] for index in range(self.n_layers + 1)]

    def _walk(self, layers: list[Tensor], generator: torch.Generator) -> list[Tensor]:
        """k sweeps: the odd layers given the even ones, then those given the odd ones."""
        machine, layers = self.machine, list(layers)
        layers[0] = layers[0].flatten(1)
        for _ in range(self.config.gibbs_steps):
            for start in (1, 0):
                for index in range(start, self.n_layers + 1, 2):
                    means = machine.means(index, machine.inputs(layers, index))
                    layers[index] = machine.draw(index, means, generator)
        return layers

    def _softened(self, layers: list[Tensor]) -> list[Tensor]:
        """Chains with the odd layers' means given the even ones: as true, and less noisy."""
        machine, soft = self.machine, list(layers)
        for index in range(1, self.n_layers + 1, 2):
            soft[index] = machine.means(index, machine.inputs(layers, index))
        return soft

    # --- training one layer alone -------------------------------------------------------------

    def _train_layer(
        self, v: Tensor, layer: int, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One step of CD-k on the restricted machine of a layer and the one below it."""
        self._settle(layer, state)
        below = v
        for index, means in enumerate(self._upwards(v)[1:layer], 1):
            below = self.machine.draw(index, means, generator)
        pair = self._pair(layer, state)
        data, model = pair.contrast(below, self.config.gibbs_steps, generator)
        found = gradients(data, model)
        if self.config.centred:
            found.centre(running_means(state.memory, data), (pair.n_lower, pair.n_upper))
        pairs = [(self.weights[layer - 1], found.weights[0])]
        pairs.append((self.biases[layer], found.biases[1]))
        if layer == 1:
            pairs.append((self.b, found.biases[0]))
        else:
            state.memory[LOWER].sub_(found.biases[0], alpha=self._bias_rate(state))
        self._descend(pairs, state)
        energies = Boltzmann((pair.lower, pair.upper), (pair.weight,))
        return _losses(energies, data, model, layer)

    def _pair(self, layer: int, state: TrainState) -> LayerPair:
        """Layers with a neighbour on their other side stand there twice."""
        lower = self.b if layer == 1 else state.memory[LOWER]
        upper, weight = self.biases[layer], self.weights[layer - 1]
        n_lower, n_upper = 1 + int(layer < self.n_layers), 1 + int(layer > 1)
        return LayerPair(weight, lower, upper, n_lower, n_upper)

    def _bias_rate(self, state: TrainState) -> float:
        """The rate at which a steady gradient moves the parameters, with their momentum."""
        rate = float(state.optimisers["model"].param_groups[1]["lr"])
        return rate / float(1.0 - self.config.momentum)

    def _settle(self, layer: int, state: TrainState) -> None:
        """At the first step of a phase, join the layer trained last to the one below it.

        A layer between two others gets half of its input from each of the two machines in which
        it was trained, and so half of each one's bias.
        """
        each = self.config.pretrain_steps
        if not each or state.step % each or state.step > each * self.n_layers:
            return
        forget_means(state.memory)
        lower = state.memory.pop(LOWER, None)
        done = self.n_layers if layer == 0 else layer - 1
        if lower is not None:
            self.biases[done - 1].data.lerp_(lower, 0.5)
        if layer > 1:
            state.memory[LOWER] = self.biases[layer - 1].detach().clone()

    # --- chains -------------------------------------------------------------------------------

    @property
    def kernels(self) -> tuple[str, ...]:
        """``"gibbs"`` draws the odd layers, then the even ones; the other two are its halves."""
        return ("gibbs", "odd", "even")

    @torch.no_grad()
    def step(
        self, state: ChainState, kernel: str, generator: torch.Generator
    ) -> tuple[ChainState, dict[str, Tensor]]:
        """One step of ``{"v": (N, *E), "h1": (N, H₁), …}``.

        Returns:
            The new state; ``energy`` (N,), E at it, up to log Z; and ``mean_v``, ``mean_h1`` …,
            the probabilities from which the layers were drawn.

        Raises:
            ValueError: The kernel is unknown.
        """
        if kernel not in self.kernels:
            raise ValueError(f"kernel: given '{kernel}', wanted one of {', '.join(self.kernels)}")
        starts = {"gibbs": (1, 0), "odd": (1,), "even": (0,)}[kernel]
        names = self.names
        drawn = [i for start in starts for i in range(start, self.n_layers + 1, 2)]
        blocks = {**state, "v": state["v"].flatten(1)}
        conditionals = {names[i]: layer_given(self.machine, names, i) for i in drawn}
        after, info = gibbs.step(blocks, conditionals, generator=generator)
        layers = [after[name] for name in names]
        info["energy"] = self.machine.energy(layers)
        if "mean_v" in info:
            info["mean_v"] = info["mean_v"].reshape(state["v"].shape)
        return self._state(layers), info


def _losses(
    machine: Boltzmann, data: Sequence[Tensor], model: Sequence[Tensor], layer: int
) -> dict[str, Tensor]:
    positive, negative = (machine.energy(part).mean() for part in (data, model))
    return {
        "total": positive - negative,
        "positive": positive,
        "negative": negative,
        "layer": torch.full_like(positive, float(layer)),
    }


def _entropy(means: Tensor) -> Tensor:
    """Entropy of independent binary units, summed, (N,), nats."""
    return -(torch.xlogy(means, means) + torch.xlogy(1.0 - means, 1.0 - means)).sum(-1)
