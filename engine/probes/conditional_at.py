"""The conditional of one value of a picture: bars over all levels."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from engine.estimators.grid import midpoint_axis
from engine.estimators.pixels import (
    ORDER_STREAM,
    check_index,
    conditionals_of,
    context_of,
    event_of,
    levels_of,
    place_of,
    under_order,
)
from engine.nets.outputs import entropy, is_discrete, level_probs, select, tempered
from engine.probe import Result, View, probe
from engine.wire.capability import Capability

#: Places at which the density of a real value is drawn, and their margin beside the data's range.
CURVE_NODES = 257
CURVE_MARGIN = 0.15


class Arguments(msgspec.Struct, frozen=True):
    """A picture (*E), the flat index of a value in it, and how its conditional is sharpened.

    ``seed`` is that of the film whose order is ``"random"``.
    """

    index: int
    picture: np.ndarray | None = None
    label: int = 0
    order: str = ""
    seed: int = 0
    temperature: float = 1.0
    top_p: float = 1.0


@probe(
    summary="The conditional of one value given those before it.",
    arguments=Arguments,
    needs=(Capability.CONDITIONALS,),
)
def conditional_at(view: View, arguments: Arguments) -> Iterator[Result]:
    """p(x_i given the earlier values of the picture), exact.

    Arrays: ``probabilities`` (levels,) of the model, ``drawn_from`` (levels,) with temperature and
    top-p; for real values ``nodes`` and ``density`` (P,) instead. Values: ``entropy`` and
    ``log_prob`` (of the picture's own value), nats, without temperature and top-p;
    ``entropy_kind`` (``"exact"`` or ``"quadrature"``), ``place`` in the order, ``value``.

    Raises:
        ValueError: The index, the picture or the label does not fit the model.
    """
    check_index(arguments.index, view.model.event_size)
    orders = view.generator(ORDER_STREAM + arguments.seed)
    model, index = under_order(view.model, arguments.order, generator=orders), arguments.index
    event = event_of(model, arguments.picture, view.dataset)[None]
    context = context_of(model, arguments.label, 1, view.dataset)
    with torch.no_grad():
        one = select(conditionals_of(model, event, context), index)
        value = event.flatten(1)[:, index]
        yield Result(
            _bars(one, arguments) if is_discrete(one) else _curve(one, value, view, index),
            {
                "entropy": float(entropy(one)),
                "entropy_kind": "exact" if is_discrete(one) else "quadrature",
                "log_prob": _log_prob(one, value),
                "place": place_of(model, index),
                "value": float(value),
                "levels": levels_of(model) or 0,
            },
        )


def _log_prob(d: Distribution, value: Tensor) -> float:
    return float(d.log_prob(value))


def _bars(one: Distribution, arguments: Arguments) -> dict[str, Tensor]:
    drawn_from = tempered(one, arguments.temperature, arguments.top_p)
    return {"probabilities": level_probs(one)[0], "drawn_from": level_probs(drawn_from)[0]}


def _curve(one: Distribution, value: Tensor, view: View, index: int) -> dict[str, Tensor]:
    """The density over the data's range of this value, and beyond where the value lies there."""
    column = view.dataset.train.reshape(len(view.dataset.train), -1)[:, index].double()
    low = min(float(column.min()), float(value))
    high = max(float(column.max()), float(value))
    room = CURVE_MARGIN * max(high - low, 1e-9)
    nodes = midpoint_axis(low - room, high + room, CURVE_NODES).nodes.to(value)
    log_p: Tensor = one.log_prob(nodes[:, None])
    return {"nodes": nodes, "density": log_p.exp()[:, 0]}
