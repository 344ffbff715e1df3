"""Events drawn from a model: exactly where it can sample, else by its own Markov chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.capabilities import Chain, Sampling
from engine.estimators.density import CancellationError, Cancelled
from engine.model import GenerativeModel

#: Most events drawn in one go, and most values in all of them.
LARGEST, MOST_VALUES = 1_000_000, 2**27
#: Longest chain walked for one answer.
MOST_STEPS = 100_000
#: Kernels as they are written in a sentence.
KERNEL_NAMES = {"mala": "MALA", "hmc": "HMC", "langevin": "Langevin", "gibbs": "Gibbs"}


@dataclass(frozen=True)
class Draws:
    """N events (N, *E) in data units, ``kind`` ``"exact"`` or ``"chain"``, words for a legend."""

    events: Tensor
    kind: str
    label: str


@torch.no_grad()
def draw_events(
    model: GenerativeModel,
    n: int,
    *,
    generator: torch.Generator,
    chain_steps: int = 200,
    cancelled: Cancelled | None = None,
) -> Draws:
    """Draw N events; N independent chains where the model has no exact sampler.

    Args:
        model: With exact samples or a Markov chain of its own.
        n: Number of events.
        generator: All chance comes from it.
        chain_steps: Steps of each chain, from a fresh start, with the chain's first kernel.
        cancelled: Asked between steps.

    Raises:
        ValueError: The model has neither, or a number is out of range.
        CancellationError: ``cancelled()`` was true.
    """
    most = min(LARGEST, MOST_VALUES // model.event_size)
    if not 1 <= n <= most:
        raise ValueError(f"n: given {n}, wanted a whole number from 1 to {most}")
    if isinstance(model, Sampling):
        return Draws(model.sample(n, generator=generator), "exact", "samples of the model")
    if not isinstance(model, Chain):
        raise ValueError(f"samples need a sampler or a chain; {model.card.title} has neither")
    if not 0 <= chain_steps <= MOST_STEPS:
        raise ValueError(f"chain_steps: given {chain_steps}, wanted 0 to {MOST_STEPS}")
    kernel = model.kernels[0]
    state = model.init(n, generator)
    for _ in range(chain_steps):
        if cancelled is not None and cancelled():
            raise CancellationError
        state, _info = model.step(state, kernel, generator)
    events = _visible(state).reshape(n, *model.event_shape)
    name = KERNEL_NAMES.get(kernel, kernel)
    return Draws(events, "chain", f"{chain_steps} {name} steps from a fresh start, not exact")


def _visible(state: Mapping[str, Tensor]) -> Tensor:
    """The block that holds events: ``x``, or the visible units ``v``."""
    return state["x"] if "x" in state else state["v"]
