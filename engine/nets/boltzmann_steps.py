r"""One update of a layered Boltzmann machine: gradients from statistics, centring, descent.

For layers x_l with biases a_l and weights A_l the gradient of −log p is the model's averages minus
the data's. In centred units x_l − μ_l the step is

.. math::
    A_l' = \partial A_l - \mu_{l-1}\, \partial a_l^\top - \partial a_{l-1}\, \mu_l^\top, \qquad
    a_l' = \partial a_l - A_l'^\top \mu_{l-1} - A_{l+1}' \mu_{l+1}

which treats 0 and 1 alike, and has the same zeros. G. Montavon and K.-R. Müller, "Deep Boltzmann
machines and the centering trick", 2012; J. Melchior, A. Fischer and L. Wiskott, JMLR 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.drawing import uniform_noise

#: How fast the means that centre the units follow those of the batches.
MEAN_RATE = 0.01


@dataclass(frozen=True)
class Gradients:
    """Of −log p, by biases (n_l,) and weights (n_{l−1}, n_l)."""

    biases: list[Tensor]
    weights: list[Tensor]

    def centre(self, means: Sequence[Tensor], copies: Sequence[int] = ()) -> None:
        """Turn them into steps of centred units in place, with the layers' means (n_l,).

        ``copies`` are how often each layer counts for its neighbours; once unless given.
        """
        counts = copies or [1] * len(means)
        for index, weight in enumerate(self.weights):
            below, above = means[index], means[index + 1]
            weight.addr_(below, self.biases[index + 1], alpha=-1.0)
            weight.addr_(self.biases[index], above, alpha=-1.0)
        for index, weight in enumerate(self.weights):
            above, below = means[index + 1], means[index]
            self.biases[index].sub_(weight.mv(above), alpha=counts[index + 1])
            self.biases[index + 1].sub_(weight.t().mv(below), alpha=counts[index])


def gradients(data: Sequence[Tensor], model: Sequence[Tensor]) -> Gradients:
    """Model averages minus data averages of units (B, n_l) and (N, n_l) and of their products."""
    signs = data[0].new_full((len(data[0]) + len(model[0]), 1), 1.0 / len(model[0]))
    signs[: len(data[0])] = -1.0 / len(data[0])
    both = [torch.cat(pair) for pair in zip(data, model, strict=True)]
    signed = [part * signs for part in both[1:]]
    weights = [below.t() @ above for below, above in zip(both[:-1], signed, strict=True)]
    return Gradients([both[0].t().mv(signs[:, 0]), *(part.sum(0) for part in signed)], weights)


@dataclass(frozen=True)
class LayerPair:
    """A restricted machine of a layer and the one below, each in one or two copies.

    All copies of a layer share weights and biases; a layer is told by the mean of its copies. With
    two copies it stands for a missing neighbour on its other side (Salakhutdinov and Hinton 2009).

    Attributes:
        weight: (n_lower, n_upper).
        lower, upper: Biases.
        n_lower, n_upper: Copies.
    """

    weight: Tensor
    lower: Tensor
    upper: Tensor
    n_lower: int = 1
    n_upper: int = 1

    def up(self, below: Tensor) -> Tensor:
        """Probabilities (N, n_upper) of the upper layer given the mean of the lower's copies."""
        return torch.sigmoid(torch.addmm(self.upper, below, self.weight, alpha=self.n_lower))

    def down(self, above: Tensor) -> Tensor:
        """Probabilities (N, n_lower) of the lower layer given the mean of the upper's copies."""
        return torch.sigmoid(torch.addmm(self.lower, above, self.weight.t(), alpha=self.n_upper))

    def contrast(
        self,
        below: Tensor,
        n_steps: int,
        generator: torch.Generator,
        chains: Tensor | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Both layers at data (B, n_lower) and k sweeps on, the upper one as means.

        The sweeps start from the data, or from ``chains``, units (N, n_upper) of the upper layer.
        """
        data = [below, self.up(below)]
        lower, above = data
        for sweep in range(n_steps):
            held = chains if sweep == 0 else None
            units = copies_mean(above, self.n_upper, generator) if held is None else held
            lower = copies_mean(self.down(units), self.n_lower, generator)
            above = self.up(lower)
        return data, [lower, above]


def copies_mean(means: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """The mean of n independent draws of binary units with given means (N, n_l)."""
    total = torch.zeros_like(means)
    for _ in range(n):
        total += uniform_noise(means.shape, generator, means) < means
    return total / n


def running_means(memory: dict[str, Tensor], units: Sequence[Tensor]) -> list[Tensor]:
    """Bring the means in memory nearer to those of a batch's units (B, n_l), and return them."""
    found = []
    for index, part in enumerate(units):
        name, mean = f"mean_{index}", part.mean(0)
        memory.setdefault(name, mean.clone()).lerp_(mean, MEAN_RATE)
        found.append(memory[name])
    return found


def forget_means(memory: dict[str, Tensor]) -> None:
    """Drop the running means: other layers are trained from here on."""
    for name in [name for name in memory if name.startswith("mean_")]:
        del memory[name]


def descent(
    weights: Sequence[nn.Parameter],
    others: Sequence[nn.Parameter],
    learning_rate: float,
    momentum: float,
) -> torch.optim.SGD:
    """Gradient descent with momentum; the first group are the weights, which may decay."""
    groups: list[dict[str, Any]] = [{"params": list(weights)}, {"params": list(others)}]
    optimiser = torch.optim.SGD(groups, lr=learning_rate, momentum=momentum, fused=True)
    # From the start, since the fused step wants them for all parameters or for none.
    for parameter in (*weights, *others):
        optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimiser


def descend(
    optimiser: torch.optim.Optimizer,
    found: Sequence[tuple[nn.Parameter, Tensor]],
    *,
    momentum: float,
    weight_decay: float,
) -> None:
    """One step of some parameters by their gradients; the others stay, with their momentum."""
    for group in optimiser.param_groups:
        group["momentum"] = momentum
        for parameter in group["params"]:
            parameter.grad = None
    optimiser.param_groups[0]["weight_decay"] = weight_decay
    for parameter, gradient in found:
        parameter.grad = gradient
    optimiser.step()
