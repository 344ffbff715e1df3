"""How sure a model is of every value of a picture, and how much each one surprises it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.estimators.pixels import (
    conditionals_of,
    context_of,
    event_of,
    levels_of,
    under_order,
)
from engine.estimators.precision import in_double
from engine.nets.outputs import entropy
from engine.probe import Result, View, probe
from engine.wire.capability import Capability
from engine.wire.fields import Value


class Arguments(msgspec.Struct, frozen=True):
    """A picture (*E), its class, and an order for models that take any."""

    picture: np.ndarray | None = None
    label: int = 0
    order: str = ""


@probe(
    summary="Entropy and surprise of every value of a picture.",
    arguments=Arguments,
    needs=(Capability.CONDITIONALS,),
)
def entropy_map(view: View, arguments: Arguments) -> Iterator[Result]:
    """Each value's conditional given the picture's own earlier values, exact, double precision.

    Arrays (*E): ``entropies`` H(x_i given earlier), and ``surprises`` −log p(x_i given earlier),
    nats. Values: ``log_prob`` = −Σ surprises, nats; ``entropy`` = Σ entropies, nats, what the
    model expected to pay along this picture; ``bits_per_dim`` for levels. A model whose values see
    themselves has no log p, and none is given.

    Raises:
        ValueError: The picture or the label does not fit the model.
    """
    model = under_order(view.model, arguments.order)
    event = event_of(model, arguments.picture, view.dataset)[None]
    context = context_of(model, arguments.label, 1, view.dataset)
    with torch.no_grad():
        exact, x = in_double(model, event)
        every = conditionals_of(exact, x, None if context is None else context.cpu())
        entropies: Tensor = entropy(every)[0]
        surprises: Tensor = -every.log_prob(x.flatten(1))[0]
    total = float(surprises.sum())
    values: dict[str, Value] = {"entropy": float(entropies.sum())}
    if view.can(Capability.LOG_PROB):
        values["log_prob"] = -total
    if "log_prob" in values and levels_of(model) is not None:
        values["bits_per_dim"] = total / (model.event_size * math.log(2.0))
    shape = model.event_shape
    maps = {"entropies": entropies.reshape(shape), "surprises": surprises.reshape(shape)}
    yield Result(maps, values)
