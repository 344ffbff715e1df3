r"""A direction in a flow's base that stands for an attribute, and a picture moved along it.

.. math:: d = \operatorname{mean}_{x \in A} f(x) - \operatorname{mean}_{x \in B} f(x), \qquad
    x_a = f^{-1}(f(x) + a\, d)

with the training pictures A of one label and B of another, or of all others.

References:
    Kingma and Dhariwal, *Glow: Generative Flow with Invertible 1×1 Convolutions*, NeurIPS 2018.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.estimators.density import CancellationError
from engine.estimators.flow_pictures import as_data, from_base, picture_flow_of, to_base
from engine.probe import Result, View, probe
from engine.probes.flow_between import flat_pictures
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Training pictures of which each mean is taken, the first of that label; most multiples.
N_MEAN, MOST_MULTIPLES = 200, 64
#: As ``negative``: all labels but the positive one.
THE_REST = -1


class Arguments(msgspec.Struct, frozen=True):
    """A picture ``event`` (D,), the two labels, and the multiples a of the direction."""

    event: np.ndarray
    positive: int
    negative: int = THE_REST
    multiples: tuple[float, ...] = (-1.0, -0.5, 0.0, 0.5, 1.0)


@probe(
    summary="A picture moved along the direction from one label to another.",
    arguments=Arguments,
    needs=(Capability.FLOW_PATH,),
)
def flow_attribute(view: View, arguments: Arguments) -> Iterator[Result]:
    """``pictures`` (M, *E), one per multiple, and ``direction`` (D,).

    Values: ``norm`` |d|, ``n_positive`` and ``n_negative`` pictures of the means, ``coordinate``:
    where the picture lies between the means, 0 at the negative and 1 at the positive one.

    Raises:
        ValueError: The data have no labels, a label has no pictures, the multiples are none or
            too many, or the events are no pictures.
    """
    flow = picture_flow_of(view.model, view.dataset.event)
    event = flat_pictures(view, arguments.event)
    multiples = _multiples(arguments)
    chosen = [_of_label(view, arguments, positive=on) for on in (True, False)]
    with suppress(CancellationError):
        high, low, start = (
            to_base(flow, pictures.to(view.model.location), view.cancelled).mean(0)
            for pictures in (*chosen, event)
        )
        direction = high - low
        steps = torch.tensor(multiples).to(start)
        places = from_base(flow, start + steps[:, None] * direction, view.cancelled)
        square = float(direction.square().sum())
        values: dict[str, Value] = {
            "norm": math.sqrt(square),
            "n_positive": len(chosen[0]),
            "n_negative": len(chosen[1]),
            "coordinate": float((start - low) @ direction) / square if square else 0.0,
        }
        arrays = {"pictures": as_data(view.model, places), "direction": direction}
        yield Result(arrays, values)


def _multiples(arguments: Arguments) -> tuple[float, ...]:
    multiples = arguments.multiples
    good = 1 <= len(multiples) <= MOST_MULTIPLES and all(map(math.isfinite, multiples))
    if not good:
        raise ValueError(
            f"multiples: given {len(multiples)}, wanted 1 to {MOST_MULTIPLES} finite numbers"
        )
    return multiples


def _of_label(view: View, arguments: Arguments, *, positive: bool) -> Tensor:
    """Training pictures of one side of the attribute."""
    data, labels = view.dataset.train, view.dataset.train_labels
    if labels is None:
        raise ValueError(f"{view.dataset.card.title} has no labels to take a direction from")
    label = arguments.positive if positive else arguments.negative
    mask = labels != arguments.positive if label == THE_REST else labels == label
    found = mask.nonzero().flatten()[:N_MEAN]
    if not len(found) or (positive and label == THE_REST):
        raise ValueError(f"label: given {label}, which no training picture has")
    return data[found]
