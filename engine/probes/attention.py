"""Where the heads of a Transformer look when they predict one value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.estimators.pixels import (
    check_index,
    context_of,
    event_of,
    levels_of,
    order_of,
    packed,
    place_of,
)
from engine.probe import Result, View, probe
from engine.wire.capability import Capability


@runtime_checkable
class Attends(Protocol):
    """A model whose conditionals come out of attention."""

    def attention(
        self, x: Tensor, index: int, *, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Weights (L, B, heads, D) on values and (L, B, heads) on the start symbol."""
        ...


class Arguments(msgspec.Struct, frozen=True):
    """Which value is predicted, in which picture.

    Attributes:
        index: Flat index of the value.
        picture: (*E); the first training example where none is given.
        label: Class of the picture, for a model trained with labels.
    """

    index: int
    picture: np.ndarray | None = None
    label: int = 0


@probe(
    summary="Attention of one value on all earlier ones, by layer and head.",
    arguments=Arguments,
    needs=(Capability.CONDITIONALS,),
)
def attention(view: View, arguments: Arguments) -> Iterator[Result]:
    """Attention weights softmax(QKᵀ/√d) of one value's conditional; exact, without unit.

    Arrays: ``weights`` (L, heads, *E), 0 on the value itself and on all later ones; ``start``
    (L, heads), the weight on the start symbol, so that ``start`` + Σ ``weights`` = 1; ``mean``
    (*E), over all layers and heads; ``reach`` (L, heads), the mean distance in places of the
    order, start symbol included; ``entropies`` (L, heads), nats; ``picture`` (*E).
    Values: ``place`` of the value in the order, ``n_layers``, ``n_heads``, ``levels``.

    Raises:
        ValueError: The model has no attention, or the index or the picture does not fit.
    """
    model = view.model
    if not isinstance(model, Attends):
        raise ValueError(f"attention needs a Transformer; {model.card.title} has no attention")
    check_index(arguments.index, model.event_size)
    if arguments.label < 0:
        raise ValueError(f"label: given {arguments.label}, wanted the class of the picture")
    x = event_of(model, arguments.picture, view.dataset)
    with torch.no_grad():
        context = context_of(model, arguments.label, 1, view.dataset)
        found, start = model.attention(x[None], arguments.index, context=context)
    weights, start = found[:, 0], start[:, 0]
    shape = (*weights.shape[:2], *model.event_shape)
    arrays = {
        "weights": weights.reshape(shape),
        "start": start,
        "mean": weights.mean((0, 1)).reshape(model.event_shape),
        "reach": _reach(weights, start, order_of(model), place_of(model, arguments.index)),
        "entropies": _entropy(torch.cat([weights, start[..., None]], -1)),
    }
    values = {
        "place": place_of(model, arguments.index),
        "n_layers": len(weights),
        "n_heads": weights.shape[1],
        "levels": levels_of(model) or 0,
    }
    small = {name: array.to(torch.float32) for name, array in arrays.items()}
    yield Result(small | {"picture": packed(x, levels_of(model))}, values)


def _reach(weights: Tensor, start: Tensor, order: Tensor, place: int) -> Tensor:
    """Mean of place − earlier place; the start symbol stands before the first."""
    places = torch.argsort(order).to(weights)
    return (weights * (place - places)).sum(-1) + start * (place + 1)


def _entropy(p: Tensor) -> Tensor:
    found: Tensor = torch.special.entr(p).sum(-1)
    return found
