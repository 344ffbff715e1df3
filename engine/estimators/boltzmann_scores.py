r"""log p(x) + log Z of Boltzmann machines and belief networks: exact, counted, or bounded.

A restricted machine has it in closed form, −F(x). Deeper models sum over hidden layers: by
counting their states where there are few, else a bound of the model's own. With log Z, which has
an interval where it is estimated (:mod:`engine.estimators.log_z_boltzmann`), the interval carries
over:

.. math:: \log p(x) = \log p^*(x) - \log Z
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.capabilities import Energy
from engine.estimators.boltzmann import MOST_UNITS, HasMachine, every_state, exact_log_z
from engine.estimators.log_z_boltzmann import LogZ
from engine.nets.boltzmann import Boltzmann

#: Events scored at once.
ROWS = 500


@runtime_checkable
class Bounded(HasMachine, Protocol):
    """A model with hidden layers that bounds log p(x) + log Z from below."""

    def unnormalised_bound(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """(B,) of (B, *E), nats; below log p(x) + log Z, at least in expectation."""
        ...


@runtime_checkable
class Settling(HasMachine, Protocol):
    """A deep machine whose posterior is approximated by mean-field."""

    def mean_field(self, v: Tensor, n_steps: int | None = None) -> list[Tensor]:
        """Means (B, H_l) of the hidden layers given v (B, V), after so many sweeps."""
        ...


@runtime_checkable
class Directed(HasMachine, Protocol):
    """A belief network: directed below the top two layers, whose machine is ``machine``."""

    @property
    def top(self) -> int:
        """Index of the top layer; the visible one is 0."""
        ...

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of each layer."""
        ...

    @property
    def weights(self) -> Sequence[Tensor]:
        """The matrices of all layers, (n_{l−1}, n_l) each."""
        ...

    @property
    def biases(self) -> Sequence[Tensor]:
        """The biases of all layers, (n_l,) each."""
        ...

    def up(self, below: Tensor, layer: int) -> Tensor:
        """Logits of a layer below the top given the one below it, on the pass up."""
        ...

    def drawn_up(self, v: Tensor, generator: torch.Generator, *, to: int) -> list[Tensor]:
        """v and draws of the layers above it up to one, on the pass up."""
        ...

    def down(self, above: Tensor, layer: int) -> Tensor:
        """Logits of a layer given the one above."""
        ...


@dataclass(frozen=True)
class Score:
    """Mean log p over N events, nats.

    Attributes:
        value: The mean, or a lower bound of it.
        low, high: Where it lies given the interval of log Z.
        error: One standard error over the events.
        is_exact: False for a bound; log Z may be an estimate all the same.
        label: What it is, in words.
    """

    value: float
    low: float
    high: float
    error: float
    is_exact: bool
    label: str


@torch.no_grad()
def score(model: HasMachine, x: Tensor, log_z: LogZ, *, generator: torch.Generator) -> Score:
    """The mean log p of events (N, *E), with the interval of log Z.

    Raises:
        ValueError: There are no events, or the model has neither energy nor bound.
    """
    if not len(x):
        raise ValueError("score: given no events, wanted one or more")
    is_exact = isinstance(model, Energy)
    pieces = [unnormalised(model, part, generator=generator) for part in torch.split(x, ROWS)]
    values = torch.cat(pieces).cpu().double()
    mean = float(values.mean())
    error = float(values.std()) / len(values) ** 0.5 if len(values) > 1 else 0.0
    words = "−F(x) − log Z" if is_exact else "lower bound of log p(x) + log Z, − log Z"
    return Score(
        mean - log_z.value, mean - log_z.high, mean - log_z.low, error, is_exact,
        f"{words}, {log_z.label}",
    )  # fmt: skip


@torch.no_grad()
def unnormalised(model: HasMachine, x: Tensor, *, generator: torch.Generator) -> Tensor:
    """log p(x) + log Z of (B, *E), (B,), or the model's bound of it, nats.

    Raises:
        ValueError: The model has neither energy nor bound.
    """
    x = x.float()
    if isinstance(model, Energy):
        return -model.energy(x)
    if isinstance(model, Bounded):
        return model.unnormalised_bound(x, generator=generator)
    raise ValueError("log p(x) + log Z: the model has neither an energy nor a bound")


@torch.no_grad()
def counted(model: HasMachine, x: Tensor) -> Tensor:
    """log p(x) + log Z of (B, *E), (B,), float64, by a sum over all states of hidden layers.

    Raises:
        ValueError: More than 20 units would have to be counted.
    """
    v = x.flatten(1).double()
    if isinstance(model, Directed):
        return _counted_down(model, v)
    machine = model.machine.double()
    own, sent = v @ machine.biases[0], v @ machine.weights[0] + machine.biases[1]
    rest = machine.biases[2:]
    hidden = [exact_log_z(Boltzmann((row, *rest), machine.weights[1:])) for row in sent]
    return own + torch.tensor(hidden, dtype=torch.float64).to(own.device)


def _counted_down(model: Directed, v: Tensor) -> Tensor:
    machine = model.machine
    between = list(model.sizes[1 : model.top])
    if sum(between) > MOST_UNITS:
        raise ValueError(
            f"counting: given {sum(between)} units between the data and the top layer, wanted "
            f"at most {MOST_UNITS}"
        )
    if model.top == 1:
        return -machine.double().free_energy([v, None])
    states = every_state(sum(between), like=machine.biases[0])
    layers = torch.split(states, between, 1)
    total = -machine.free_energy([layers[-1], None]).double()
    for layer in range(1, model.top - 1):
        logits = model.down(layers[layer], layer)
        below = layers[layer - 1]
        total += (below * logits - F.softplus(logits)).sum(-1)
    logits = model.down(layers[0], 0).double()
    table = v @ logits.t() - F.softplus(logits).sum(-1) + total
    return torch.logsumexp(table, 1)
