"""Sampling one value at a time: checks, the naïve sampler, and what follows from masks.

The naïve sampler runs the whole network once per value. It is the oracle of every cached sampler:
under the same noise both give the same draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.capabilities import Conditionals, Step
from engine.model import GenerativeModel
from engine.nets.outputs import check_temper, icdf, select, tempered


@dataclass(frozen=True)
class Steps:
    """What a stepwise sampler needs, checked and flat.

    Attributes:
        noise: (N, D), uniform numbers, in the model's number type and on its device.
        start: (N, D), the values to keep, 0 elsewhere, in data units.
        keep: (N, D) bool, where they are kept.
        temperature, top_p: As asked for.
    """

    noise: Tensor
    start: Tensor
    keep: Tensor
    temperature: float = 1.0
    top_p: float = 1.0

    def keep_known(self, drawn: Tensor, index: int) -> Tensor:
        """Draws (N,) for one index, with the kept values in their places."""
        return torch.where(self.keep[:, index], self.start[:, index], drawn)


def check_steps(
    model: GenerativeModel,
    noise: Tensor,
    known: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> Steps:
    """Check the arguments of ``sample_steps`` and lay them out flat.

    Args:
        model: Whose events they are.
        noise: (N, D) in (0, 1), one number per value.
        known: (N, *E) or (*E), values to be kept, in data units.
        mask: (N, *E) or (*E), where they are kept.
        temperature: Above 0.
        top_p: In (0, 1].

    Raises:
        ValueError: A shape or number is wrong, or only one of ``known`` and ``mask`` is given.
    """
    if noise.dim() != 2 or noise.shape[1] != model.event_size:
        raise ValueError(
            f"noise: given shape {tuple(noise.shape)}, wanted (N, {model.event_size})"
        )
    if (known is None) != (mask is None):
        given = "known without mask" if mask is None else "mask without known"
        raise ValueError(f"sample_steps: given {given}, wanted both or neither")
    check_temper(temperature, top_p)
    if top_p != 1.0 and getattr(model.config, "levels", None) is None:
        raise ValueError(
            f"top_p: given {top_p:g}, wanted 1: a continuous conditional has no most probable "
            "levels to keep; lower the temperature instead"
        )
    noise = noise.to(model.location)
    start = torch.zeros_like(noise)
    keep = torch.zeros_like(noise, dtype=torch.bool)
    if known is not None and mask is not None:
        keep = _flat("mask", mask, noise, model).to(keep)
        start = torch.where(keep, _flat("known", known, noise, model).to(noise), start)
    return Steps(noise, start, keep, temperature, top_p)


def _flat(name: str, x: Tensor, noise: Tensor, model: GenerativeModel) -> Tensor:
    try:
        return x.expand(len(noise), *model.event_shape).reshape(noise.shape)
    except RuntimeError:
        raise ValueError(
            f"{name}: given shape {tuple(x.shape)}, wanted {model.event_shape} or "
            f"{(len(noise), *model.event_shape)}"
        ) from None


def naive_steps(
    model: Conditionals,
    noise: Tensor,
    *,
    known: Tensor | None = None,
    mask: Tensor | None = None,
    context: Tensor | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> Iterator[Step]:
    """Generate with one pass through the whole network per value, in the model's order.

    ``conditionals`` is all that it uses. Arguments as those of ``sample_steps``; each step's
    conditional is the one drawn from, temperature and top-p included.
    """
    assert isinstance(model, GenerativeModel)
    steps = check_steps(model, noise, known, mask, temperature=temperature, top_p=top_p)
    return _naive(model, steps, context)


def _naive(model: Conditionals, steps: Steps, context: Tensor | None) -> Iterator[Step]:
    assert isinstance(model, GenerativeModel)
    flat = steps.start.clone()
    for index in model.order.tolist():
        with torch.no_grad():
            x = flat.view(-1, *model.event_shape)
            whole = model.conditionals(x, context=context)
            conditional = tempered(select(whole, index), steps.temperature, steps.top_p)
            flat = flat.clone()
            flat[:, index] = steps.keep_known(icdf(conditional, steps.noise[:, index]), index)
        yield Step(index, flat.view(-1, *model.event_shape), conditional)


def last_of(steps: Iterator[Step]) -> Tensor:
    """The finished sample (N, *E) of a stepwise sampler."""
    x: Tensor | None = None
    for step in steps:
        x = step.x
    if x is None:
        raise ValueError("the sampler took no step")
    return x


def kept_unseen(order: Tensor, mask: Tensor) -> Tensor:
    """Which known values are kept but not conditioned on by some value drawn before them.

    A model with a fixed order draws value i given what comes before i in the order. A known value
    that comes after a drawn one stands in the picture, but that draw took no notice of it.

    Args:
        order: (D,), indices in the order of generation.
        mask: (…, D) bool, where values are known.

    Returns:
        (…, D) bool; all False means that the sampler draws from the true conditional
        p(unknown given known).
    """
    known = mask[..., order].bool()
    drawn_before = (~known).cumsum(-1) > 0
    unseen = torch.zeros_like(known)
    unseen[..., order] = known & drawn_before
    return unseen


def known_first(order: Tensor, mask: Tensor) -> Tensor:
    """``order`` (D,) with the known values of one mask (D,) moved to the front."""
    known = mask[order].bool()
    return torch.cat([order[known], order[~known]])
