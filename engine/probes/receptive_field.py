"""What one value sees: the influence of every other value on its conditional, measured."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.dataset import as_float
from engine.estimators.pixels import (
    check_count,
    check_index,
    context_of,
    event_of,
    levels_of,
    order_of,
    place_of,
    under_order,
)
from engine.estimators.receptive import exchange_field, gradient_field
from engine.model import GenerativeModel
from engine.probe import Result, View, probe
from engine.wire.capability import Capability

METHODS = ("gradient", "exchange")
MOST_PICTURES = 256
PICTURE_STREAM = 42


class Arguments(msgspec.Struct, frozen=True):
    """Whose field, how it is measured, and on how many pictures.

    ``n`` pictures are averaged for the gradient: half of them data, half random. With a
    ``picture`` it is that one alone.
    """

    index: int
    method: str = "gradient"
    n: int = 16
    picture: np.ndarray | None = None
    label: int = 0
    order: str = ""


@probe(
    summary="What one value's conditional depends on.",
    arguments=Arguments,
    needs=(Capability.CONDITIONALS,),
)
def receptive_field(view: View, arguments: Arguments) -> Iterator[Result]:
    """Influence (*E) of every value on the conditional of value ``index``, and who comes before.

    Arrays (*E): ``influence`` float64; ``earlier`` bool, the values before it in the order, which
    are all that it may see. Values: ``method``, ``n_seen`` (entries above 0), ``n_earlier``,
    ``n_leaks`` (seen but not earlier: 0 for a true autoregressive model), ``meaning`` in words. A
    model without gradients by its inputs (an embedding) is measured by exchange.

    Raises:
        ValueError: The index, the method or the picture does not fit.
    """
    check_index(arguments.index, view.model.event_size)
    check_count("n", arguments.n, MOST_PICTURES)
    if arguments.method not in METHODS:
        raise ValueError(f"method: given '{arguments.method}', wanted one of {', '.join(METHODS)}")
    model = under_order(view.model, arguments.order)
    influence, method = _measure(view, model, arguments)
    if view.cancelled():
        return
    place = place_of(model, arguments.index)
    earlier = torch.zeros(model.event_size, dtype=torch.bool)
    earlier[order_of(model)[:place]] = True
    seen = influence.reshape(-1).cpu() > 0
    meaning = (
        "mean |∂ parameters/∂ x_j|"
        if method == "gradient"
        else "total variation of the conditional when x_j is exchanged"
    )
    yield Result(
        {
            "influence": influence.double(),
            "earlier": earlier.reshape(model.event_shape),
        },
        {
            "method": method,
            "meaning": meaning,
            "n_seen": int(seen.sum()),
            "n_earlier": place,
            "n_leaks": int((seen & ~earlier).sum()),
        },
    )


def _measure(view: View, subject: GenerativeModel, arguments: Arguments) -> tuple[Tensor, str]:
    generator = view.generator(PICTURE_STREAM)
    if arguments.method == "gradient":
        x = _pictures(view, arguments, generator)
        context = context_of(subject, arguments.label, len(x), view.dataset)
        found = gradient_field(subject, x, arguments.index, context=context, generator=generator)
        if found is not None:
            return found, "gradient"
    x = event_of(subject, arguments.picture, view.dataset)
    context = context_of(subject, arguments.label, 1, view.dataset)
    found = exchange_field(subject, x, arguments.index, context=context, cancelled=view.cancelled)
    return found, "exchange"


def _pictures(view: View, arguments: Arguments, generator: torch.Generator) -> Tensor:
    """The picture asked about, or data and random ones in turn, (N, *E).

    All are random where the data are not on this machine.
    """
    model = view.model
    if arguments.picture is not None:
        return event_of(model, arguments.picture, view.dataset)[None]
    levels = levels_of(model)
    if view.dataset.absent and levels is not None:
        shape = (arguments.n, *model.event_shape)
        return torch.randint(levels, shape, generator=generator).to(model.location)
    train = view.dataset.train
    chosen = torch.randint(len(train), (arguments.n,), generator=generator)
    x = as_float(train[chosen]).to(model.location)
    if levels is not None:
        noise = torch.randint(levels, x.shape, generator=generator).to(x)
        x[1::2] = noise[1::2]
    return x
