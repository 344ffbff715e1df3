"""What would have come of a picture if one of its values had been another?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from engine.capabilities import Conditionals
from engine.estimators.counterfactual import noise_behind
from engine.estimators.pixels import (
    ORDER_STREAM,
    check_count,
    check_index,
    conditionals_of,
    context_of,
    event_of,
    levels_of,
    order_of,
    packed,
    pixel_noise,
    place_of,
    under_order,
)
from engine.estimators.precision import in_double
from engine.model import GenerativeModel
from engine.nets.outputs import check_level_values, is_discrete, tempered
from engine.probe import Result, View, probe
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Partial answers on the way, so that a slow sampler can be watched.
N_PARTS = 8
MOST_FUTURES = 64
NOISE_STREAM = 44
#: A level less probable than this has too narrow an interval of noise for float32.
IMPROBABLE = 1e-4
#: A level less probable than this cannot be told from one that is never drawn, in float64 either.
IMPOSSIBLE = 1e-12


class Arguments(msgspec.Struct, frozen=True):
    """A picture (*E), the value that is changed, and how many futures.

    Attributes:
        index, value: The flat index, and what the value is changed to, in data units.
        n: Futures.
        seed: Of the futures' noise, and of the order ``"random"``.
        common: Whether the noise is the one that led to the picture (then only what depends on
            the change changes); else every future has fresh noise, shared by both branches.
        label: Class of all futures.
    """

    index: int
    value: float
    picture: np.ndarray | None = None
    n: int = 8
    seed: int = 0
    common: bool = True
    temperature: float = 1.0
    top_p: float = 1.0
    label: int = 0
    order: str = ""


@probe(
    summary="Futures of a picture after one value is changed.",
    arguments=Arguments,
    needs=(Capability.CONDITIONALS,),
)
def what_if(view: View, arguments: Arguments) -> Iterator[Result]:
    """Values before the changed one stay; those after it are drawn again, in two branches.

    Both branches share each future's noise, so their difference is what the change did. With
    ``common`` the noise is one that led to the picture: the branch without the change is then the
    picture itself. Where a later value of it was improbable, all is drawn in double precision,
    which still tells the noise behind it. A value that would never be drawn (top-p has cut it off)
    has no noise behind it and gets a fresh one.

    Arrays: ``changed`` and ``unchanged`` (N, *E); ``differs`` (*E), the share of futures in which
    a value differs; ``descendants`` (*E) bool, the values drawn again. Values: ``n_differ`` (mean
    number of other values that differ), ``n_impossible`` (later values with no noise behind them),
    ``place``, ``levels``, ``done``. Partial results on the way.

    Raises:
        ValueError: The index, the value or the picture does not fit the model.
    """
    check_index(arguments.index, view.model.event_size)
    check_count("n", arguments.n, MOST_FUTURES)
    if arguments.label < 0:
        raise ValueError(f"label: given {arguments.label}, wanted the class of the picture")
    orders = view.generator(ORDER_STREAM + arguments.seed)
    model = under_order(view.model, arguments.order, generator=orders)
    before = event_of(model, arguments.picture, view.dataset)
    after = before.clone()
    after.view(-1)[arguments.index] = arguments.value
    levels = levels_of(model)
    if levels is not None:
        check_level_values(after, levels, model.card.title)
    kept = torch.zeros(model.event_size, dtype=torch.bool)
    kept[order_of(model)[: place_of(model, arguments.index) + 1]] = True
    model, noise, n_impossible = _noise(view, model, before, kept, arguments)
    mask = kept.reshape(model.event_shape).to(model.device)
    context = context_of(model, arguments.label, 2 * arguments.n, view.dataset)
    starts = after.to(model.location), before.to(model.location)
    for done, x in _branches(model, starts, (mask, noise, context), arguments):
        if view.cancelled():
            return
        yield _result(
            model, x, kept, arguments.index, {"done": done, "n_impossible": n_impossible}
        )


def _noise(
    view: View, model: GenerativeModel, x: Tensor, kept: Tensor, arguments: Arguments
) -> tuple[GenerativeModel, Tensor, int]:
    """Noise (N, D), fresh or behind the picture, the model that can tell it, and where none is."""
    generator = view.generator(NOISE_STREAM + arguments.seed)
    u = pixel_noise(model, arguments.n, generator)
    if not arguments.common:
        return model, u, 0
    later, flat = ~kept, x.reshape(1, -1)
    every, p = _behind(view, model, flat, arguments)
    if p is None or bool((p[:, later] < IMPROBABLE).any()):
        model, flat = in_double(model, flat)
        u = u.to(flat)
        every, p = _behind(view, model, flat, arguments)
    noise = torch.cat([noise_behind(every, flat, row[None]) for row in u])
    if p is None:
        return model, noise, 0
    impossible = p < IMPOSSIBLE
    return model, torch.where(impossible, u, noise), int((impossible.cpu() & later).sum())


@torch.no_grad()
def _behind(
    view: View, model: GenerativeModel, flat: Tensor, arguments: Arguments
) -> tuple[Distribution, Tensor | None]:
    """What each value of a picture (1, D) was drawn from, and the probability of each level."""
    context = context_of(model, arguments.label, 1, view.dataset)
    every = conditionals_of(model, flat.view(1, *model.event_shape), context)
    every = tempered(every, arguments.temperature, arguments.top_p)
    return every, every.log_prob(flat).exp() if is_discrete(every) else None


def _branches(
    model: GenerativeModel,
    starts: tuple[Tensor, Tensor],
    given: tuple[Tensor, Tensor, Tensor | None],
    arguments: Arguments,
) -> Iterator[tuple[int, Tensor]]:
    """Both branches in one batch: places done and (2, N, *E) so far."""
    mask, noise, context = given
    n, size = len(noise), model.event_size
    known = torch.cat([start.expand(n, *model.event_shape) for start in starts])
    steps = cast(Conditionals, model).sample_steps(
        noise.repeat(2, 1),
        known=known,
        mask=mask.expand_as(known),
        context=context,
        temperature=arguments.temperature,
        top_p=arguments.top_p,
    )
    every = max(1, -(-size // N_PARTS))
    with torch.no_grad():
        for place, step in enumerate(steps, 1):
            if place % every == 0 or place == size:
                yield place, step.x.view(2, n, *model.event_shape)


def _result(
    model: GenerativeModel, x: Tensor, kept: Tensor, index: int, told: dict[str, Value]
) -> Result:
    levels = levels_of(model)
    differs = (x[0] != x[1]).float().mean(0)
    others = float(differs.sum() - differs.reshape(-1)[index])
    return Result(
        {
            "changed": packed(x[0], levels),
            "unchanged": packed(x[1], levels),
            "differs": differs,
            "descendants": ~kept.reshape(model.event_shape),
        },
        {
            "n_differ": others,
            "place": place_of(model, index),
            "levels": levels or 0,
            **told,
        },
        final=told["done"] == model.event_size,
    )
