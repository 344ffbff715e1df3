"""The number under the pointer, as a sum of terms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import torch

from engine.estimators.density import CancellationError, as_events
from engine.estimators.terms import terms_at
from engine.plane import coordinate_names
from engine.probe import Result, View, probe
from engine.wire.fields import Value


class Arguments(msgspec.Struct, frozen=True):
    """One event, flat, in data units."""

    point: tuple[float, ...]
    n_draws: int = 512


@probe(summary="log p at one point, as a sum of terms.", arguments=Arguments)
def log_prob_at(view: View, arguments: Arguments) -> Iterator[Result]:
    """``log_prob`` (or the bound, energy or critic that stands for it) and its terms.

    Raises:
        ValueError: The point does not have D finite numbers, or the model has no number to give.
    """
    size, given = view.model.event_size, len(arguments.point)
    if given != size or not all(map(math.isfinite, arguments.point)):
        raise ValueError(f"point: given {given} numbers, wanted {size} finite ones")
    if arguments.n_draws < 1:
        raise ValueError(f"n_draws: given {arguments.n_draws}, wanted 1 or more")
    x = as_events(view.model, torch.tensor([arguments.point], dtype=torch.float64))
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
            "terms": [name for name, _ in found.terms],
            "term_values": [value for _, value in found.terms],
        }
        yield Result({}, values)
