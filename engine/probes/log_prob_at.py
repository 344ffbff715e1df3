"""The number under the pointer, as a sum of terms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import torch
from torch import Tensor

from engine.estimators.density import CancellationError, check_draws
from engine.estimators.terms import terms_at
from engine.plane import PlaneKind, coordinate_names, make_plane
from engine.probe import Result, View, probe
from engine.wire.fields import Value


class Arguments(msgspec.Struct, frozen=True):
    """One event, flat, in data units; or, where a plane is named, one point drawn on it."""

    point: tuple[float, ...]
    n_draws: int = 512
    plane: PlaneKind | None = None
    axes: tuple[int, ...] = (0, 1)


@probe(summary="log p at one point, as a sum of terms.", arguments=Arguments)
def log_prob_at(view: View, arguments: Arguments) -> Iterator[Result]:
    """``log_prob`` (or the bound, energy or critic that stands for it) and its terms.

    A point of a plane stands for the event x = centre + aᵀ basis of :class:`engine.plane.Plane`.

    Raises:
        ValueError: The point does not have D finite numbers (the plane's 1 or 2 where a plane is
            named), the axes are no two coordinates, or the model has no number to give.
    """
    check_draws(arguments.n_draws)
    x = flat_event(view, arguments).reshape(1, *view.model.event_shape)
    with suppress(CancellationError):
        found = terms_at(
            view.model,
            x,
            coordinate_names(view.dataset),
            n_draws=arguments.n_draws,
            seed=view.seed,
            cancelled=view.cancelled,
        )
        values: dict[str, Value] = {
            "kind": found.kind,
            "log_prob": found.value,
            "error": found.error,
            "unit": found.unit,
            "terms": [term.name for term in found.terms],
            "term_values": [term.value for term in found.terms],
        }
        yield Result({}, values)


def flat_event(view: View, arguments: Arguments) -> Tensor:
    """The event that is asked about, (1, D), float64; raises as :func:`log_prob_at` does."""
    plane = None
    if arguments.plane is not None:
        plane = make_plane(view.dataset, arguments.plane, arguments.axes)
    size = view.model.event_size if plane is None else plane.dims
    given = len(arguments.point)
    if given != size or not all(map(math.isfinite, arguments.point)):
        raise ValueError(f"point: given {given} numbers, wanted {size} finite ones")
    point = torch.tensor([arguments.point], dtype=torch.float64)
    return point if plane is None else plane.lift(point)
