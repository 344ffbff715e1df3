r"""A Boltzmann machine in layers, as plain tensors: energies, conditionals, sums over layers.

Units of one layer see only the two layers next to it. Given every other layer the rest is
independent, so it is drawn in one go, and summed out in closed form.

.. math::
    E(x_0, \dots, x_L) = \sum_i \frac{x_{0i}^2}{2 \sigma_i^2}
        - \sum_{l=0}^{L} a_l^\top x_l - \sum_{l=1}^{L} x_{l-1}^\top A_l x_l

Units are 0 or 1; the first term is there when the units of layer 0 are real (Gaussian). A unit
with input t (its bias and what its neighbours send) has the log-partition A(t) = log(1 + exp t),
or σ² t²/2 + ½ log 2πσ² when it is Gaussian; its mean is A'(t).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.drawing import normal_noise, uniform_noise
from engine.mcmc.gibbs import Conditional
from engine.mcmc.target import State


@dataclass(frozen=True)
class Boltzmann:
    """The machine, of L + 1 layers with n_l units; everything in nats.

    Attributes:
        biases: a_l, (n_l,) each.
        weights: A_l, (n_{l−1}, n_l) each.
        variance: σ² (n_0,) of a Gaussian layer 0; ``None`` when its units are binary.
    """

    biases: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    variance: Tensor | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of each layer."""
        return tuple(len(bias) for bias in self.biases)

    def is_gaussian(self, index: int) -> bool:
        """Whether the units of a layer are real."""
        return index == 0 and self.variance is not None

    def double(self) -> Boltzmann:
        """The same machine in float64."""
        return self._mapped(lambda tensor: tensor.double())

    def tempered(self, beta: float, base: Sequence[Tensor]) -> Boltzmann:
        r"""The machine on the way from independent units to this one, at β in [0, 1].

        .. math:: E_\beta = (1 - \beta) E_{\text{base}} + \beta E

        ``base`` are the biases (n_l,) of the independent units; Gaussian ones keep their variance.
        """
        mixed = zip(base, self.biases, strict=True)
        biases = tuple((1.0 - beta) * start + beta * end for start, end in mixed)
        return Boltzmann(biases, tuple(beta * weight for weight in self.weights), self.variance)

    # --- one layer given its neighbours ---------------------------------------------------------

    def inputs(self, layers: Sequence[Tensor | None], index: int) -> Tensor:
        """Inputs (N, n_l) of one layer; of ``layers`` (N, n_l) only its neighbours count."""
        return self.field(layers, index).add_(self.biases[index])

    def field(self, layers: Sequence[Tensor | None], index: int) -> Tensor:
        """What its neighbours send to one layer, (N, n_l): its inputs without the bias.

        Raises:
            ValueError: A neighbour is None.
        """
        total: Tensor | None = None
        for neighbour, weight in self._neighbours(index):
            value = layers[neighbour]
            if value is None:
                raise ValueError(f"layers: layer {index} needs layer {neighbour}, given None")
            total = value @ weight if total is None else torch.addmm(total, value, weight)
        assert total is not None
        return total

    def _neighbours(self, index: int) -> list[tuple[int, Tensor]]:
        below = [(index - 1, self.weights[index - 1])] if index > 0 else []
        above = [(index + 1, self.weights[index].t())] if index < len(self.weights) else []
        return below + above

    def means(self, index: int, inputs: Tensor) -> Tensor:
        """Means (N, n_l) of a layer's units: probabilities where they are binary."""
        if self.is_gaussian(index):
            assert self.variance is not None
            return inputs * self.variance
        return torch.sigmoid(inputs)

    def draw(self, index: int, means: Tensor, generator: torch.Generator) -> Tensor:
        """Draws (N, n_l) of a layer's units from their :meth:`means`."""
        if self.is_gaussian(index):
            assert self.variance is not None
            return means + self.variance.sqrt() * normal_noise(means.shape, generator, means)
        noise = uniform_noise(means.shape, generator, means)
        return torch.lt(noise, means, out=noise)

    def log_partition(self, index: int, inputs: Tensor) -> Tensor:
        """Σ_i A(t_i) over a layer's units, (N,): the log of their sum or integral."""
        if self.is_gaussian(index):
            assert self.variance is not None
            constant = 0.5 * torch.log(2.0 * math.pi * self.variance).sum()
            return 0.5 * (inputs.square() @ self.variance) + constant
        return F.softplus(inputs).sum(-1)

    # --- energies -------------------------------------------------------------------------------

    def energy(self, layers: Sequence[Tensor]) -> Tensor:
        """E of all layers, (N, n_l) each, (N,)."""
        total = self.own_energy(layers, range(len(self.biases)))
        for below, above, weight in zip(layers[:-1], layers[1:], self.weights, strict=True):
            total = total - ((below @ weight) * above).sum(-1)
        return total

    def own_energy(self, layers: Sequence[Tensor | None], indices: Sequence[int]) -> Tensor:
        """The terms of E in which some layers stand alone, (N,)."""
        total: Tensor | None = None
        for index in indices:
            value = layers[index]
            assert value is not None
            part = -(value @ self.biases[index])
            if self.is_gaussian(index):
                assert self.variance is not None
                part = part + 0.5 * (value.square() @ self.variance.reciprocal())
            total = part if total is None else total + part
        assert total is not None
        return total

    def free_energy(self, layers: Sequence[Tensor | None]) -> Tensor:
        r"""−log Σ exp(−E) over the layers that are None, (N,).

        Every other layer must be given: the even ones or the odd ones.

        .. math:: F = E_{\text{given}} - \sum_{l \text{ summed}} \sum_i A(t_{li})
        """
        kept = [index for index, value in enumerate(layers) if value is not None]
        total = self.own_energy(layers, kept)
        for index, value in enumerate(layers):
            if value is None:
                total = total - self.log_partition(index, self.inputs(layers, index))
        return total

    # --- which layers to keep -------------------------------------------------------------------

    def smaller_side(self) -> tuple[int, ...]:
        """The even or the odd layers, whichever have fewer units; Gaussian ones are not among."""
        sides = [tuple(range(start, len(self.biases), 2)) for start in (0, 1)]
        if self.variance is not None:
            return sides[1]
        return min(sides, key=lambda side: sum(self.sizes[index] for index in side))

    def split(self, side: Sequence[int], flat: Tensor) -> list[Tensor | None]:
        """Units (N, n) of a side's layers, one after the other, as ``layers``; others None."""
        layers: list[Tensor | None] = [None] * len(self.biases)
        parts = torch.split(flat, [self.sizes[index] for index in side], 1)
        for index, part in zip(side, parts, strict=True):
            layers[index] = part
        return layers

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Boltzmann:
        variance = None if self.variance is None else change(self.variance)
        return Boltzmann(
            tuple(map(change, self.biases)), tuple(map(change, self.weights)), variance
        )


def layer_given(machine: Boltzmann, names: Sequence[str], index: int) -> Conditional:
    """The conditional of one layer, for :mod:`engine.mcmc.gibbs`; ``names`` are the layers'."""

    def draw(state: State, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        means = machine.means(index, machine.inputs([state[name] for name in names], index))
        return machine.draw(index, means, generator), means

    return draw
