r"""log Z of a layered Boltzmann machine: counted where it can be, else estimated by AIS.

.. math::
    E_\beta = (1 - \beta) E_{\text{base}} + \beta E, \qquad
    \log Z = \log Z_{\text{base}} + \log \frac1N \sum_n w_n

The base has no weights; its biases are those at which independent units fit the data. The layers
of one side are summed out on every rung, so that only the others walk.

References:
    Salakhutdinov and Murray, *On the Quantitative Analysis of Deep Belief Networks*, ICML 2008;
    for deep machines Salakhutdinov and Hinton, *Deep Boltzmann Machines*, AISTATS 2009.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.dataset import as_float
from engine.estimators.boltzmann import HasMachine, can_count, exact_log_z, n_counted
from engine.estimators.density import CancellationError, Cancelled
from engine.mcmc import annealed
from engine.mcmc.annealed import LOG_WEIGHT
from engine.mcmc.target import State
from engine.nets.boltzmann import Boltzmann

#: Chains and rungs unless asked for others.
N_CHAINS, N_STEPS = 100, 1000
#: Rates of units in the data stay so far from 0 and 1 when they become biases.
SMALLEST_RATE = 1e-2
#: Events whose means make the base.
BASE_EVENTS = 10_000


@dataclass(frozen=True)
class LogZ:
    """log Z in nats.

    Attributes:
        value: The value or estimate.
        low, high: Its interval, 95 %; both are the value where it is exact.
        kind: ``"exact"`` or ``"ais"``.
        label: What it is, in words.
        effective: Effective sample size of the weights; 0 where it is exact.
        share: How much of the ladder was climbed; an answer on the way is no log Z yet.
    """

    value: float
    low: float
    high: float
    kind: str
    label: str
    effective: float = 0.0
    share: float = 1.0


def log_z(
    machine: Boltzmann,
    base: Sequence[Tensor],
    *,
    generator: torch.Generator,
    n_chains: int = N_CHAINS,
    n_steps: int = N_STEPS,
    cancelled: Cancelled | None = None,
) -> LogZ:
    """log Z, exact where the smaller side has at most 20 units, else by AIS.

    The arguments are those of :func:`annealed_log_z`.

    Raises:
        engine.estimators.density.CancellationError: ``cancelled()`` was true.
    """
    if can_count(machine):
        return counted_log_z(machine, cancelled=cancelled)
    return annealed_log_z(
        machine, base, generator=generator, n_chains=n_chains, n_steps=n_steps, cancelled=cancelled
    )


def counted_log_z(machine: Boltzmann, *, cancelled: Cancelled | None = None) -> LogZ:
    """log Z by counting; raises as :func:`engine.estimators.boltzmann.exact_log_z`."""
    value = exact_log_z(machine, cancelled=cancelled)
    label = f"exact: a sum over all 2^{n_counted(machine)} states of one side"
    return LogZ(value, value, value, "exact", label)


def annealed_log_z(
    machine: Boltzmann,
    base: Sequence[Tensor],
    *,
    generator: torch.Generator,
    n_chains: int = N_CHAINS,
    n_steps: int = N_STEPS,
    cancelled: Cancelled | None = None,
    told: Callable[[float], None] | None = None,
) -> LogZ:
    """log Z by AIS with ``n_chains`` chains over ``n_steps`` rungs; ``told`` hears the share done.

    Args:
        machine: The machine.
        base: Biases (n_l,) of the independent units, see :func:`base_biases`.
        generator: All chance comes from it.
        n_chains: N.
        n_steps: K.
        cancelled: Asked at every rung.
        told: Called at every rung.

    Raises:
        ValueError: A number is below 1.
        engine.estimators.density.CancellationError: ``cancelled()`` was true.
    """
    walk = _walk(machine, base, generator, n_chains, n_steps, cancelled)
    return pooled(_end(walk, told), n_steps)


def pooled(log_weights: Tensor, n_steps: int, share: float = 1.0) -> LogZ:
    """log Z from log-weights (N,) that have log Z of the base in them, of any number of walks."""
    mean = annealed.log_mean(log_weights)
    label = f"AIS: {len(log_weights):,} chains, {n_steps:,} rungs"
    return LogZ(mean.value, mean.low, mean.high, "ais", label, mean.effective, share)


def annealed_log_weights(
    machine: Boltzmann,
    base: Sequence[Tensor],
    *,
    generator: torch.Generator,
    n_chains: int,
    n_steps: int,
) -> Tensor:
    """The log-weights (N,) behind :func:`annealed_log_z`, to be pooled with those of others."""
    return _end(_walk(machine, base, generator, n_chains, n_steps, None), None)


def climb(
    machine: Boltzmann,
    base: Sequence[Tensor],
    *,
    generator: torch.Generator,
    n_chains: int,
    n_steps: int,
    n_answers: int,
    cancelled: Cancelled | None = None,
) -> Iterator[LogZ]:
    """AIS that answers ``n_answers`` times on its way, evenly; only the last is log Z.

    Those before are log Z of the rung that was reached, see ``share``.
    """
    every = max(1, n_steps // n_answers)
    walk = _walk(machine, base, generator, n_chains, n_steps, cancelled)
    for rung, (weights, share) in enumerate(walk, 1):
        if (n_steps - rung) % every == 0:
            yield pooled(weights, n_steps, share)


def _walk(
    machine: Boltzmann,
    base: Sequence[Tensor],
    generator: torch.Generator,
    n_chains: int,
    n_steps: int,
    cancelled: Cancelled | None,
) -> Iterator[tuple[Tensor, float]]:
    """After every rung the log-weights (N,), log Z of the base included, and the share climbed."""
    if n_chains < 1:
        raise ValueError(f"n_chains: given {n_chains}, wanted 1 or more")
    ladder, betas = BoltzmannLadder(machine, tuple(base)), annealed.rungs(n_steps)
    foot, state = ladder.log_z0, annealed.init(ladder, n_chains, generator)
    for rung in range(1, n_steps + 1):
        if cancelled is not None and cancelled():
            raise CancellationError
        low, high = betas[rung - 1], betas[rung]
        state, _ = annealed.step(state, ladder, low=low, high=high, generator=generator)
        yield state[LOG_WEIGHT] + foot, rung / n_steps


def _end(walk: Iterator[tuple[Tensor, float]], told: Callable[[float], None] | None) -> Tensor:
    """The log-weights at the top of the ladder."""
    found = torch.empty(0)
    for weights, share in walk:
        found = weights
        if told is not None:
            told(share)
    return found


@torch.no_grad()
def base_of(model: HasMachine, data: Tensor, *, generator: torch.Generator) -> tuple[Tensor, ...]:
    """:func:`base_biases` of what a model's machine sees of events (N, *E), the first of them."""
    events = as_float(data[:BASE_EVENTS])
    return base_biases(model.machine, model.machine_data(events, generator=generator))


@torch.no_grad()
def base_biases(machine: Boltzmann, data: Tensor) -> tuple[Tensor, ...]:
    """Biases (n_l,) of independent units that fit events (N, n_0), standardised; 0 higher up."""
    like = machine.biases[0]
    mean = data.to(like).mean(0)
    if machine.variance is None:
        first = torch.logit(mean.clamp(SMALLEST_RATE, 1.0 - SMALLEST_RATE))
    else:
        first = mean / machine.variance
    return (first, *(torch.zeros_like(bias) for bias in machine.biases[1:]))


@dataclass(frozen=True)
class BoltzmannLadder:
    """The rungs between independent units and a machine, see :class:`engine.mcmc.annealed.Ladder`.

    A state holds ``unit_l`` (N, n_l) of the layers that walk and, of those that are summed out,
    ``field_l`` (N, n_l), what their neighbours send; it is the same on every rung.
    """

    machine: Boltzmann
    base: tuple[Tensor, ...]
    walking: tuple[int, ...] = field(init=False)
    summed: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        walking = self.machine.smaller_side()
        others = tuple(i for i in range(len(self.machine.sizes)) if i not in walking)
        object.__setattr__(self, "walking", walking)
        object.__setattr__(self, "summed", others)

    @property
    def log_z0(self) -> float:
        """log Z of the independent units."""
        wide = self.machine.double()
        parts = [wide.log_partition(i, b[None].double()) for i, b in enumerate(self.base)]
        return sum(float(part.detach()) for part in parts)

    def start(self, n: int, generator: torch.Generator) -> State:
        """N draws of the independent units."""
        machine, layers = self.machine, self._blank()
        for index in self.walking:
            means = machine.means(index, self.base[index]).expand(n, -1)
            layers[index] = machine.draw(index, means, generator)
        return self._with_fields(layers)

    def log_f(self, state: State, beta: float) -> Tensor:
        """−E_β with one side summed out, (N,)."""
        total = torch.zeros(len(next(iter(state.values()))), dtype=torch.float64)
        total = total.to(self.base[0].device)
        for index in self.walking:
            total += state[f"unit_{index}"].mv(self._bias(index, beta))
        for index in self.summed:
            inputs = self._inputs(index, state[f"field_{index}"], beta)
            total += self.machine.log_partition(index, inputs)
        return total

    def move(self, state: State, beta: float, generator: torch.Generator) -> State:
        """The summed layers given the others, then the others given them, at β."""
        layers = self._blank()
        for index in self.summed:
            inputs = self._inputs(index, state[f"field_{index}"], beta)
            means = self.machine.means(index, inputs)
            layers[index] = self.machine.draw(index, means, generator)
        for index in self.walking:
            inputs = self._inputs(index, self.machine.field(layers, index), beta)
            means = self.machine.means(index, inputs)
            layers[index] = self.machine.draw(index, means, generator)
        return self._with_fields(layers)

    def _blank(self) -> list[Tensor | None]:
        return [None] * len(self.machine.sizes)

    def _with_fields(self, layers: list[Tensor | None]) -> State:
        state: State = {}
        for index in self.walking:
            units = layers[index]
            assert units is not None
            state[f"unit_{index}"] = units
        for index in self.summed:
            state[f"field_{index}"] = self.machine.field(layers, index)
        return state

    def _bias(self, index: int, beta: float) -> Tensor:
        return torch.lerp(self.base[index], self.machine.biases[index], beta)

    def _inputs(self, index: int, sent: Tensor, beta: float) -> Tensor:
        return torch.add(self._bias(index, beta), sent, alpha=beta)
