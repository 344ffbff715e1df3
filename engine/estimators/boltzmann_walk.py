r"""Block Gibbs chains of a layered Boltzmann machine, one half-step at a time, some units held.

Clamped units are put back after every draw of their layer. Units of one layer are independent
given the others, so the rest is drawn just as if the clamped ones had never been touched, and the
chain leaves their conditional invariant:

.. math:: p(v_{\text{free}}, h \mid v_{\text{clamped}})
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from engine.capabilities import Chain, ChainState
from engine.estimators.boltzmann import HasMachine
from engine.estimators.boltzmann_scores import Directed
from engine.model import GenerativeModel

#: The block of visible units.
VISIBLE = "v"


@dataclass(frozen=True)
class Clamp:
    """Values of v (*E) that stay where ``mask`` (*E) is true."""

    known: Tensor
    mask: Tensor

    def put(self, v: Tensor) -> Tensor:
        """v (N, *E) with the clamped values in their place."""
        return torch.where(self.mask, self.known.to(v), v)


@dataclass(frozen=True)
class Moment:
    """Chains after a half-step.

    Attributes:
        place: Half-steps taken, 0 at the start.
        kernel: The half-step that led here; "" at the start.
        state: All blocks (N, …), v in units of the data.
        means: By block the means (N, …) that it was last drawn from; blocks not drawn are missing.
        drawn: The blocks that this half-step drew.
    """

    place: int
    kernel: str
    state: ChainState
    means: ChainState = field(default_factory=dict)
    drawn: tuple[str, ...] = ()


def halves_of(model: GenerativeModel) -> tuple[str, ...]:
    """The half-steps that make one sweep, in their order.

    Raises:
        ValueError: The model has no units that are drawn block by block.
    """
    if not isinstance(model, HasMachine) or not isinstance(model, Chain):
        raise ValueError(
            f"{model.card.title} has no units that are drawn layer by layer; wanted a Boltzmann "
            "machine"
        )
    return model.kernels[1:]


@torch.no_grad()
def walk(
    model: GenerativeModel,
    state: ChainState,
    *,
    generator: torch.Generator,
    clamp: Clamp | None = None,
    halves: Sequence[str] = (),
) -> Iterator[Moment]:
    """The start and then one moment per half-step, over and over.

    Args:
        model: A Boltzmann machine.
        state: Where the chains start, as the model's ``init`` gives it.
        generator: All chance comes from it: the same one gives the same chains.
        clamp: Visible values that stay.
        halves: The half-steps, over and over; none: those of one sweep.
    """
    halves, chain = halves or halves_of(model), cast(Chain, model)
    if clamp is not None:
        state = {**state, VISIBLE: clamp.put(state[VISIBLE])}
    means: ChainState = {}
    yield Moment(0, "", state)
    place = 0
    while True:
        kernel = halves[place % len(halves)]
        place += 1
        state, info = chain.step(state, kernel, generator)
        drawn = tuple(name for name in state if f"mean_{name}" in info)
        means = means | {name: info[f"mean_{name}"] for name in drawn}
        if clamp is not None:
            state = {**state, VISIBLE: clamp.put(state[VISIBLE])}
            if VISIBLE in means:
                means[VISIBLE] = clamp.put(means[VISIBLE])
        yield Moment(place, kernel, state, means, drawn)


@torch.no_grad()
def energies(model: GenerativeModel, state: ChainState) -> tuple[Tensor, Tensor]:
    """E of the state, and F with every second layer of it summed out, (N,) each, up to log Z.

    Of a belief network it is the energy of the top two layers.
    """
    machine = cast(HasMachine, model).machine
    names = joined(model, tuple(state))
    layers = [model.standardise(state[n]) if n == VISIBLE else state[n] for n in names]
    shift = model.standardise_log_det if VISIBLE in names else 0.0
    kept = [value if index % 2 == 0 else None for index, value in enumerate(layers)]
    return machine.energy(layers) - shift, machine.free_energy(kept) - shift


def joined(model: GenerativeModel, names: tuple[str, ...]) -> tuple[str, ...]:
    """The blocks that the machine joins both ways: all, or the top two of a belief network."""
    return names[model.top - 1 : model.top + 1] if isinstance(model, Directed) else names


def givens(model: GenerativeModel, names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """By block, the blocks that it is drawn given; () for layers not yet part of the model."""
    both, found = joined(model, names), {}
    for index, name in enumerate(names):
        beside = (*names[max(index - 1, 0) : index], *names[index + 1 : index + 2])
        if name in both:
            found[name] = tuple(other for other in beside if other in both)
        else:
            is_below = index < names.index(both[0])
            found[name] = names[index + 1 : index + 2] if is_below else ()
    return found
